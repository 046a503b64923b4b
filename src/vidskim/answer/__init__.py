"""From a file to an answer: the one inference path behind every command."""
