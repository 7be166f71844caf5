"""The script of a page: the modules of its sections and no others, and the only one that may run."""

import base64
import hashlib
import re

import pytest

from gdl.explorer.sections import SECTIONS
from gdl.explorer.writer import FOLDER, IMPORT, policy, script_of

NAMES = re.compile(
    r"^(?:export )?(?:const|let|var|class|(?:async )?function\*?) +(\{[^}]*\}|\[[^\]]*\]|[\w$]+)",
    re.M,
)
FURTHER = re.compile(r"^(?:export )?(?:const|let|var) [^\n]*", re.M)


def declared(text):
    """Return the names that the top level of a module declares, those behind a comma too."""
    found = []
    for match in NAMES.finditer(text):
        found += re.findall(r"[\w$]+", match[1])
    for line in FURTHER.findall(text):
        flat = line
        while (inner := re.sub(r"[\[({][^\[\](){}]*[\])}]", "", flat)) != flat:
            flat = inner
        found += re.findall(r", ([\w$]+) = ", flat)
    return found


def test_no_two_modules_of_the_page_declare_one_name():
    assert declared("export const A = f(1, b = 2), B = {c: [1, 2]};\nasync function g() {") == [
        *("A", "g", "B")
    ]
    seen = {}
    for path in sorted(FOLDER.glob("*.js")):
        for name in declared(path.read_text()):
            assert name not in seen, f"{name} is in {path.name} and {seen[name]}"
            seen[name] = path.name


def test_every_name_that_a_module_imports_is_there():
    for path in FOLDER.glob("*.js"):
        for match in IMPORT.finditer(path.read_text()):
            names = re.findall(r"[\w$]+", match[0].split("{")[1].split("}")[0])
            exported = re.findall(r"^export .*", (FOLDER / f"{match[1]}.js").read_text(), re.M)
            assert set(names) <= set(declared("\n".join(exported))), f"{path.name}: {match[0]}"


@pytest.mark.parametrize("is_served", [False, True])
@pytest.mark.parametrize("name", SECTIONS)
def test_a_page_has_the_modules_of_its_sections_only(name, is_served):
    script = script_of([name], is_served)
    opener = re.compile(r"^(?:async )?function (open\w+)\(root, ", re.M)
    own = set(opener.findall(script))
    every = set(opener.findall(script_of([*SECTIONS], is_served)))
    entry = re.search(r"\bopenPage\(\w+, \{(\w+): (\w+)\}\);\n$", script)
    assert entry
    assert entry[1] == name
    assert entry[2] in own
    sections = {"open" + n.title().replace("_", "") for n in SECTIONS}
    assert sections <= every
    assert own & sections == {entry[2]}
    assert ("fetch(" in script) == is_served  # a page in a file asks nobody
    assert ("winograd" in script) != is_served  # the model of a served page is elsewhere
    assert not re.search(r"^(import|export) ", script, re.M)


def test_the_policy_lets_this_script_run_and_no_other():
    for names in ([], ["flow"], [*SECTIONS]):
        script = script_of(names, False)
        scripts = ["first()", script]
        both = [hashlib.sha256(s.encode()).digest() for s in scripts]
        digests = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in both]
        rules = dict(rule.split(" ", 1) for rule in policy(scripts, False).split("; "))
        assert rules["script-src"] == " ".join(digests)
        assert "connect-src" not in rules
        assert policy(scripts, True).endswith("connect-src 'self'")
