"""Completion of verbs, options and values for bash, zsh and fish, from the same declarations."""

from collections.abc import Callable, Iterator, Mapping

from vidskim.cli.arguments import Verb, flags_of, options_of, summary
from vidskim.declare import Declared, flag
from vidskim.errors import unknown_name

Verbs = Mapping[str, Verb | Mapping[str, Verb]]

BASH = """\
_vidskim() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}}
  local verb=${{COMP_WORDS[1]}} options=""
  COMPREPLY=()
  if (( COMP_CWORD == 1 )); then
    COMPREPLY=($(compgen -W "{verbs} --help --version" -- "$cur"))
    return
  fi
  case "$verb" in
{parts}
  esac
  case "$verb $prev" in
{values}
  esac
  case "$verb" in
{options}
  esac
  if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "$options --help" -- "$cur")); fi
}}
complete -o default -F _vidskim vidskim
"""

ZSH = """\
#compdef vidskim
_vidskim() {{
  local -a verbs
  verbs=({verbs})
  if (( CURRENT == 2 )); then _describe command verbs; return; fi
  local verb=$words[2]
  case $verb in
{parts}
  esac
  shift words; (( CURRENT-- ))
  case $verb in
{options}
  esac
}}
compdef _vidskim vidskim
"""


def completion_script(shell: str, verbs: Verbs) -> str:
    """Return what a shell reads to complete ``vidskim``.

    Args:
        shell: one of `SHELLS`.
        verbs: name to verb, or to the verbs behind it.

    Raises:
        UsageError: another shell.
    """
    if shell not in SHELLS:
        raise unknown_name("shell", shell, SHELLS)
    return SHELLS[shell](verbs)


def _bash(verbs: Verbs) -> str:
    parts, values, options = [], [], []
    for name, several in verbs.items():
        if isinstance(several, Mapping):
            parts += [
                f"    {name})",
                "      if (( COMP_CWORD == 2 )); then",
                f'        COMPREPLY=($(compgen -W "{" ".join(several)}" -- "$cur")); return',
                "      fi",
                '      verb="$verb ${COMP_WORDS[2]}" ;;',
            ]
    for name, verb in _flat(verbs):
        found = options_of(verb)
        options.append(f'    "{name}") options="{" ".join(map(flag, found))}" ;;')
        for key, known in found.items():
            typed = "|".join(f'"{name} {word}"' for word in flags_of(key))
            if known.option.choices:
                words = " ".join(known.option.choices)
                values.append(f'    {typed}) COMPREPLY=($(compgen -W "{words}" -- "$cur")); return')
                values[-1] += " ;;"
            elif known.kind is not bool:  # a file, or what no shell knows
                values.append(f"    {typed}) return ;;")
    return BASH.format(
        verbs=" ".join(verbs),
        parts="\n".join(parts),
        values="\n".join(values),
        options="\n".join(options),
    )


def _zsh(verbs: Verbs) -> str:
    parts, options = [], []
    for name, several in verbs.items():
        if isinstance(several, Mapping):
            told = " ".join(_quoted(f"{part}:{summary(verb)}") for part, verb in several.items())
            parts += [
                f"    {name})",
                f"      verbs=({told})",
                "      if (( CURRENT == 3 )); then _describe command verbs; return; fi",
                '      verb="$verb $words[3]"; shift words; (( CURRENT-- )) ;;',
            ]
    for name, verb in _flat(verbs):
        lines = ["'*:file:_files'", *map(_zsh_option, options_of(verb).values())]
        options.append(f"    {_quoted(name)}) _arguments {' '.join(lines)} ;;")
    named = [_quoted(f"{name}:{_told(verb)}") for name, verb in verbs.items()]
    return ZSH.format(verbs=" ".join(named), parts="\n".join(parts), options="\n".join(options))


def _zsh_option(known: Declared) -> str:
    """Return one option as ``_arguments`` takes it."""
    text = known.option.help.translate({ord(c): f"\\{c}" for c in "\\[]:"})
    spec = f"{flag(known.name)}[{text}]"
    if known.kind is not bool:
        values = f"({' '.join(known.option.choices)})" if known.option.choices else " "
        spec += f":{known.name}:{'_files' if known.option.is_file else values}"
    return _quoted(spec)


def _fish(verbs: Verbs) -> str:
    lines = ["complete -c vidskim -e"]
    for name, several in verbs.items():
        told = _quoted(_told(several))
        lines.append(f"complete -c vidskim -n __fish_use_subcommand -f -a {name} -d {told}")
        for part, verb in several.items() if isinstance(several, Mapping) else ():
            here = f"__fish_seen_subcommand_from {name}; and not __fish_seen_subcommand_from "
            here += " ".join(several) if isinstance(several, Mapping) else ""
            told = _quoted(summary(verb))
            lines.append(f"complete -c vidskim -n {_quoted(here)} -f -a {part} -d {told}")
    for name, verb in _flat(verbs):
        here = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in name.split())
        for known in options_of(verb).values():
            line = f"complete -c vidskim -n {_quoted(here)} "
            line += " ".join(f"-l {word[2:]}" for word in flags_of(known.name))
            line += f" -d {_quoted(known.option.help)}"
            if known.option.choices:
                line += f" -x -a {_quoted(' '.join(known.option.choices))}"
            elif known.kind is not bool:
                line += " -r" if known.option.is_file else " -x"
            lines.append(line)
    return "\n".join(lines) + "\n"


def _flat(verbs: Verbs) -> Iterator[tuple[str, Verb]]:
    """Yield every verb by its whole name."""
    for name, verb in verbs.items():
        if isinstance(verb, Mapping):
            yield from ((f"{name} {part}", function) for part, function in verb.items())
        else:
            yield name, verb


def _told(verb: Verb | Mapping[str, Verb]) -> str:
    return " ".join(verb) if isinstance(verb, Mapping) else summary(verb)


def _quoted(text: str) -> str:
    """Quote for zsh and fish, which agree on this way."""
    return "'" + text.replace("'", "'\\''") + "'"


SHELLS: dict[str, Callable[[Verbs], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
