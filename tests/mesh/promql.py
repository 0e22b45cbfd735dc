"""promtool for rules that stand in no file."""

import tempfile

import promtool


def check_rules(text):
    """What `promtool check rules` says to this text: status and output."""
    with tempfile.NamedTemporaryFile("w", suffix=".yml", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        return promtool.call("promtool", "check", "rules", file.name)


def check_expressions(*expressions):
    """The same for expressions alone."""
    return check_rules(promtool.rules_of(expressions))
