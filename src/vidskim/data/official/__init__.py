"""The official annotation files of public sets."""
