from __future__ import annotations

import pytest
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from components.version_folder.model_config import ConfigText
from components.version_folder.pins import Pins, config_file, pinned_by_others, read_pins, write_pins
from trainer.errors import ServingError


@pytest.fixture
def serving(tmp_path):
    return tmp_path / "serving" / "twins"


def parsed(serving):
    return text_format.Parse(config_file(serving).read_text(), ModelServerConfig())


def test_nothing_is_pinned_where_there_is_no_file(serving):
    assert read_pins(serving) is None


def test_what_is_written_is_what_tf_serving_reads(serving):
    pins = Pins((42, 40), {"stable": 40, "canary": 42})
    assert write_pins(serving, "twins", pins) == serving.parent / "models.config"
    [entry] = parsed(serving).model_config_list.config
    assert (entry.name, entry.base_path, entry.model_platform) == ("twins", str(serving), "tensorflow")
    assert list(entry.model_version_policy.specific.versions) == [40, 42]
    assert dict(entry.version_labels) == {"stable": 40, "canary": 42}
    assert read_pins(serving) == Pins((40, 42), {"canary": 42, "stable": 40})


def test_the_file_of_all_models_is_written_under_the_lock_of_its_folder(serving, watch_lock):
    held = watch_lock("components.version_folder.pins.replace_file", serving.parent)
    write_pins(serving, "twins", Pins((42,), {"stable": 42}))
    assert held == [True]


def test_to_unpin_is_to_serve_the_newest(serving):
    write_pins(serving, "twins", Pins((42,), {"stable": 42}))
    write_pins(serving, "twins", None)
    [entry] = parsed(serving).model_config_list.config
    assert entry.model_version_policy.latest.num_versions == 1
    assert not entry.version_labels
    assert read_pins(serving) is None


def test_other_models_and_what_a_user_wrote_stay(serving):
    serving.mkdir(parents=True)
    config_file(serving).write_text(
        'model_config_list {\n  config { name: "other" base_path: "/models/other" }\n'
        '  config { name: "twins" base_path: "/models/mine" model_platform: "tensorflow"\n'
        "    logging_config { sampling_config { sampling_rate: 0.5 } } }\n}\n"
    )
    write_pins(serving, "twins", Pins((7,), {"stable": 7}))
    other, mine = parsed(serving).model_config_list.config
    assert (other.name, other.base_path) == ("other", "/models/other")
    assert not other.HasField("model_version_policy")
    assert (mine.name, mine.base_path) == ("twins", "/models/mine")
    assert mine.logging_config.sampling_config.sampling_rate == 0.5
    assert read_pins(serving) == Pins((7,), {"stable": 7})
    assert read_pins(serving.with_name("other")) is None


OTHERS = """# who wrote this, and why
model_config_list: {  # a list
  config {
    name: "other"  # theirs
    base_path: "/models/twins"  # which ends as ours does
    of_a_newer_server { x: 1 s: "}" }
    model_version_policy: { specific: { versions: [3, 4] } }
  }
  config {
    name: "twins"  # ours
    base_path: '/x'
    of_a_newer_server: 7
    model_version_policy { latest { num_versions: 1 } }
    # the end
  }
}
"""


def test_every_other_character_of_the_file_stays(serving):
    serving.mkdir(parents=True)
    config_file(serving).write_text(OTHERS)
    assert read_pins(serving) is None
    assert read_pins(serving, "other") == Pins((3, 4))
    write_pins(serving, "twins", Pins((7,), {"stable": 7}))
    assert read_pins(serving) == Pins((7,), {"stable": 7})
    before, _, after = OTHERS.partition("    model_version_policy { latest { num_versions: 1 } }\n")
    changed = config_file(serving).read_text()
    assert changed.startswith(before)
    assert changed.endswith(after)
    pinned = 'model_version_policy { specific { versions: 7 } } version_labels { key: "stable" value: 7 }'
    assert " ".join(changed[len(before) : -len(after)].split()) == pinned
    write_pins(serving, "twins", None)
    assert config_file(serving).read_text().split() == OTHERS.split()


def test_entries_of_a_list_in_brackets_are_told_apart_too(serving):
    serving.mkdir(parents=True)
    config_file(serving).write_text('model_config_list { config: [{ name: "a" }, { name: "twins" }] }')
    write_pins(serving, "twins", Pins((7,)))
    assert config_file(serving).read_text() == (
        'model_config_list { config: [{ name: "a" }, { name: "twins" '
        "model_version_policy { specific { versions: 7 } } }] }"
    )


def test_the_first_entry_of_a_list_in_brackets_is_found_too(serving):
    serving.mkdir(parents=True)
    config_file(serving).write_text('model_config_list { config: [{ name: "twins" }, { name: "a" }] }')
    write_pins(serving, "twins", Pins((7,)))
    assert read_pins(serving) == Pins((7,))
    assert [entry.name for entry in parsed(serving).model_config_list.config] == ["twins", "a"]


def test_an_entry_is_added_behind_those_of_others(serving):
    serving.mkdir(parents=True)
    theirs = OTHERS.replace('"twins"', '"third"')
    config_file(serving).write_text(theirs)
    write_pins(serving, "twins", Pins((7,)))
    assert config_file(serving).read_text().startswith(theirs.rstrip().removesuffix("}"))
    assert read_pins(serving) == Pins((7,))


def test_versions_that_others_name_of_the_same_folder(serving):
    serving.mkdir(parents=True)
    config_file(serving).write_text(OTHERS.replace("/models/twins", str(serving)))
    assert pinned_by_others(serving) == {3, 4}
    config_file(serving).write_text(OTHERS)
    assert pinned_by_others(serving) == set()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('model_config_list { config { name: "twins" } config { name: "twins" } }', "stands there 2 times"),
        ("custom_model_config { }", "it has no model_config_list"),
        ('model_config_list { config { name: "twins" model_version_policy { x: 1 } } }', 'named "x"'),
    ],
)
def test_a_file_that_cannot_be_understood_is_not_changed(serving, content, why):
    serving.mkdir(parents=True)
    config_file(serving).write_text(content)
    with pytest.raises(ServingError, match=why):
        write_pins(serving, "twins", None)
    assert config_file(serving).read_text() == content


@pytest.mark.parametrize("names", [["other"], ["twins"], ["others", "twins"], ["other", "twins", "third"]])
def test_a_change_that_would_change_other_entries_is_not_written(serving, monkeypatch, names):
    serving.mkdir(parents=True)
    entries = "model_config_list {{ config {{ name: {} }} }}"
    content = entries.format('"other" } config { name: "twins"')
    config_file(serving).write_text(content)
    changed = entries.format(" } config { name: ".join(f'"{name}"' for name in names))
    monkeypatch.setattr(ConfigText, "_changed", lambda *_: changed)
    with pytest.raises(ServingError, match="the entry of 'twins' cannot be changed"):
        write_pins(serving, "twins", Pins((7,)))
    assert config_file(serving).read_text() == content


def test_labels_without_a_pin_are_read(serving):
    serving.mkdir(parents=True)
    config_file(serving).write_text(
        f'model_config_list {{ config {{ name: "twins" base_path: "{serving}" '
        'version_labels { key: "old" value: 3 } } }'
    )
    assert read_pins(serving) == Pins((), {"old": 3})


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("all { }", r"all \{\} is not followed here"),
        ("specific { }", r"specific \{\} is not followed here"),
        ("latest { num_versions: 2 }", r"latest \{ num_versions: 2 \} is not followed here"),
        ("latest { num_versions: 1 }", ""),
        ("latest { }", ""),
    ],
)
def test_a_policy_that_is_not_followed_is_refused(serving, policy, told):
    config_file(serving).parent.mkdir()
    entry = f'name: "twins" base_path: "{serving}" model_version_policy {{ {policy} }}'
    config_file(serving).write_text(f"model_config_list {{ config {{ {entry} }} }}")
    if told:
        with pytest.raises(ServingError, match=told):
            read_pins(serving)
    else:
        assert read_pins(serving) is None


@pytest.mark.parametrize("content", [b"model_config_list { what: 1 }", b"\xff\xfe", b"{"])
def test_a_broken_file_is_named(serving, content):
    serving.mkdir(parents=True)
    config_file(serving).write_bytes(content)
    for call in (lambda: read_pins(serving), lambda: write_pins(serving, "twins", None)):
        with pytest.raises(ServingError, match=r"models\.config: not a model config file of TF Serving: .+"):
            call()
    assert config_file(serving).read_bytes() == content


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "serving").write_text("a file where the folder should be")
    with pytest.raises(
        ServingError, match=r"models\.config: cannot be written: (Not a directory|File exists)"
    ):
        write_pins(tmp_path / "serving" / "twins", "twins", None)


LINE = 'model_version_policy { specific { versions: 7 } } version_labels { key: "stable" value: 7 }'
OLD = "model_version_policy { specific { versions: 1 } }"


def lines(indent: str) -> str:
    """The pin on lines of its own."""
    pin = "model_version_policy {", "  specific {", "    versions: 7", "  }", "}"
    label = "version_labels {", '  key: "stable"', "  value: 7", "}"
    return "".join(f"{indent}{line}\n" for line in (*pin, *label))


TABS = "\t\t"
ENTRIES = {
    f'config {{ name: "twins" {OLD} base_path: "/" }}': f'config {{ name: "twins"  {LINE} base_path: "/" }}',
    f'config {{ version_labels {{ key: "a" }} name: "twins" version_labels: {{ key: "b" }}; {OLD} }}': (
        f'config {{  {LINE} name: "twins" ;  }}'
    ),
    'config { name: "tw" "ins" }': f'config {{ name: "tw" "ins" {LINE} }}',
    "config { name: 'twins', base_path: \"/\" 'x' }": (
        f"config {{ name: 'twins', base_path: \"/\" 'x' {LINE} }}"
    ),
    'config < name: "twins" >': f'config < name: "twins" {LINE} >',
    '\n  config {\n    name: "twins"\n  }\n': f'\n  config {{\n    name: "twins"\n{lines("    ")}  }}\n',
    '\n  config {\n    name: "twins" # ours\n    # end\n  }\n': (
        f'\n  config {{\n    name: "twins" # ours\n{lines("    ")}    # end\n  }}\n'
    ),
    f'\n  config {{\n    name: "twins"\n    {OLD}  # why\n    base_path: "/x"\n  }}\n': (
        f'\n  config {{\n    name: "twins"\n      # why\n{lines("    ")}    base_path: "/x"\n  }}\n'
    ),
    f'\n  config {{\n    version_labels {{\n      key: "a"\n    }}\n    name: "twins"\n    {OLD}\n  }}\n': (
        f'\n  config {{\n{lines("    ")}    name: "twins"\n  }}\n'
    ),
    f'\n\tconfig {{\n\t\tname: "twins"\n\t\t{OLD}  # why\n\t\tbase_path: "/x"\n\t}}\n': (
        f'\n\tconfig {{\n\t\tname: "twins"\n\t\t  # why\n{lines(TABS)}\t\tbase_path: "/x"\n\t}}\n'
    ),
    f'\n  config {{\n    name: "twins"\n    {OLD}\tbase_path: "/x"\n  }}\n': (
        f'\n  config {{\n    name: "twins"\n    \tbase_path: "/x"\n{lines("    ")}  }}\n'
    ),
    f'\n  config {{ name: "twins"\n    base_path: "/x" {OLD} }}\n': (
        f'\n  config {{ name: "twins"\n    base_path: "/x"  {lines("    ")}}}\n'
    ),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_pin_is_written_where_the_entry_has_it_or_ends(serving, entry):
    serving.mkdir(parents=True)
    config_file(serving).write_text(f"model_config_list {{{entry}}}\n")
    write_pins(serving, "twins", Pins((7,), {"stable": 7}))
    assert config_file(serving).read_text() == f"model_config_list {{{ENTRIES[entry]}}}\n"


@pytest.mark.parametrize(
    ("before", "start", "end"),
    [
        ("", "model_config_list {\n", "}\n"),
        ("# nothing yet", "# nothing yet\nmodel_config_list {\n", "}\n"),
        ("# nothing yet\n", "# nothing yet\nmodel_config_list {\n", "}\n"),
        ("model_config_list {}", "model_config_list {\n", "}"),
        ("model_config_list { \n  }", "model_config_list { \n", "}"),
        (
            'model_config_list { config { name: "x" } }',
            'model_config_list { config { name: "x" }\n',
            "}",
        ),
    ],
)
def test_an_entry_is_written_at_the_end_of_the_list(serving, before, start, end):
    serving.mkdir(parents=True)
    config_file(serving).write_text(before)
    write_pins(serving, "twins", Pins((7,), {"stable": 7}))
    fields = "".join(
        f"    {line}\n"
        for line in ('name: "twins"', f'base_path: "{serving}"', 'model_platform: "tensorflow"')
    )
    entry = f"  config {{\n{fields}{lines('    ')}  }}\n"
    assert config_file(serving).read_text() == f"{start}{entry}{end}"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('\nmodel_config_list {\n config {\n\n name: "twins"\n version_labels { x: 1 } } }', '6:18 : .*"x"'),
        ("model_config_list { } model_config_list { }", "should not have multiple"),
        ("model_config_list: [{ }, { }]", "Expected|repeated"),
        ("model_config_list", "1:18 : .*Expected"),
        ("model_config_list:", "Expected"),
        ("model_config_list { config { name } }", "Expected"),
        ('model_config_list { config { name: "a" new } }', "Expected"),
        ("model_config_list { a { } }", 'no field named "a"'),
        ("model_config_list { z { } }", 'no field named "z"'),
        ("model_config_list { config { ", "1:28 : Expected"),
        ("model_config_list { config { } } }", "1:34 : .*Expected identifier"),
        ('model_config_list { config { name: "twins } }', "1:36 : "),
        ("model_config_list { config { name: } }", "Expected string"),
        ("model_config_list { config { [an.extension]: 1 } }", "does not have extensions"),
        ("model_config_list { config { } } x: 1", 'no field named "x"'),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line_and_column(serving, content, why):
    serving.mkdir(parents=True)
    config_file(serving).write_text(content)
    with pytest.raises(ServingError, match=f"not a model config file of TF Serving: .*{why}"):
        read_pins(serving)


def test_fields_that_are_not_known_pass_outside_of_the_pins(serving):
    serving.mkdir(parents=True)
    config_file(serving).write_text(
        'model_config_list { config { new { x: 1 } name: "other" version_labels { x: 1 } }\n'
        'config { name: "twins" new: [1, 2] newer: [{ a: 1 }, { b: 2 }] last: 3 } }'
    )
    assert read_pins(serving) is None
    write_pins(serving, "twins", Pins((7,)))
    assert read_pins(serving) == Pins((7,))


@pytest.mark.parametrize(
    ("policy", "pins"),
    [
        ("specific { versions: 2 versions: 1 }", Pins((1, 2))),
        ("latest { }", None),
        ("latest { num_versions: 1 }", None),
        ("latest { num_versions: 2 }", "latest { num_versions: 2 } is not followed"),
        ("all { }", "all {} is not followed"),
        ("specific { }", "specific {} is not followed"),
    ],
)
def test_policies_that_serve_other_versions_are_refused(serving, policy, pins):
    serving.mkdir(parents=True)
    config_file(serving).write_text(
        f'model_config_list {{ config {{ name: "twins" model_version_policy {{ {policy} }} }} }}'
    )
    if isinstance(pins, str):
        with pytest.raises(ServingError, match=pins):
            read_pins(serving)
    else:
        assert read_pins(serving) == pins


def test_a_file_of_another_encoding_is_named(serving):
    serving.mkdir(parents=True)
    config_file(serving).write_bytes(b"# caf\xe9")
    with pytest.raises(ServingError, match="not a model config file of TF Serving: 'utf-8' codec"):
        read_pins(serving)


def test_others_are_those_of_another_name_in_the_same_folder(serving):
    serving.mkdir(parents=True)
    entry = (
        'config {{ name: "{}" base_path: "{}" model_version_policy {{ specific {{ versions: {} }} }} {} }}'
    )
    label = 'version_labels { key: "a" value: 9 }'
    config_file(serving).write_text(
        f"model_config_list {{ {entry.format('twins', serving, 1, '')} "
        f"{entry.format('x', serving, 2, label)} {entry.format('y', '/elsewhere', 3, '')} "
        f"{entry.format('z', '/~', 4, '')} }}"
    )
    assert pinned_by_others(serving) == {2, 9}
    assert pinned_by_others(serving, "x") == {1}
    assert pinned_by_others(serving, "twin") == {1, 2, 9}
