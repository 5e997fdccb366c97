"""What a Dockerfile reads, told from its text alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfold.errors import ConfigError
from kfold.plan.dockerfile import BaseImage, Sources, parse, sources


def read(text: str, target: str = "", all_stages: bool = False, **build_args: str | None) -> Sources:
    return sources(parse(text, file="Dockerfile"), build_args, target, all_stages=all_stages)


def patterns(text: str, target: str = "", all_stages: bool = False, **build_args: str | None) -> list[str]:
    found = read(text, target, all_stages, **build_args)
    return [pattern for copy in found.copies for pattern in copy.patterns]


COPIES = {
    "several words": ("COPY a b/ /c/", ["a", "b"]),
    "everything": ("COPY . .", ["."]),
    "lower case": ("copy a /", ["a"]),
    "slashes and dots": ("COPY /a ./b ../../c a/../d /", ["a", "b", "c", "d"]),
    "root": ("COPY / /x", ["."]),
    "flags": ("COPY --chown=1:1 --chmod=755 --link a /", ["a"]),
    "flag in quotes": ('COPY --chown="a b" c /', ["c"]),
    "double stars": ("COPY --parents a/b/**/c **/d e/** /", ["a/b", ".", "e"]),
    "wildcards": ("COPY src/*.go [ab]?.txt /", ["src/*.go", "[ab]?.txt"]),
    "json": ('COPY ["a b", "c", "/"]', ["a b", "c"]),
    "json over lines": ('COPY ["a", \\\n  "b", "/"]', ["a", "b"]),
    "brackets that are no json": ("COPY [ab] /", ["[ab]"]),
    "url": ("ADD https://example.com/a.tgz b /", ["b"]),
    "git": ("ADD git@github.com:moby/moby.git https://github.com/moby/moby.git#v1 b /", ["b"]),
    "url in a variable": ("ARG U=https://example.com\nADD $U/a b /", ["b"]),
    "from a stage": ("COPY --from=0 a /", []),
    "continuation": ("COPY a \\\n b \\  \n c /", ["a", "b", "c"]),
    "comment in a continuation": ("COPY a \\\n# no\n  # no\n b /", ["a", "b"]),
    "empty line in a continuation": ("COPY a \\\n\n b /", ["a", "b"]),
    "comment is no comment inside": ("COPY a#b /", ["a#b"]),
    "carriage returns": ("COPY a \\\r\n b /\r", ["a", "b"]),
    "tabs": ("COPY\ta\tb\t/", ["a", "b"]),
    "twice": ("COPY a /\nCOPY a /", ["a", "a"]),
    "heredoc": ("COPY <<EOF /x\nCOPY no /\nEOF\nCOPY a /", ["a"]),
    "heredoc and a file": ("COPY <<one b <<two /x/\nno\none\nno\ntwo", ["b"]),
    "heredoc with tabs": ("RUN <<-EOF\n\tCOPY no /\n\tEOF\nCOPY a /", ["a"]),
    "heredoc in quotes": ("RUN <<'EOF' cat\nCOPY no /\nEOF\nCOPY a /", ["a"]),
    "two heredocs": ("RUN <<A cat <<B\nCOPY no /\nA\nCOPY no /\nB\nCOPY a /", ["a"]),
    "redirection of a descriptor": ("RUN cat 3<<EOF\nCOPY no /\nEOF\nCOPY a /", ["a"]),
    "here string is no heredoc": ("RUN cat <<<EOF\nCOPY a /", ["a"]),
    "heredoc in a string is none": ('RUN echo "<<EOF"\nCOPY a /', ["a"]),
    "bind mount": ("RUN --mount=type=bind,source=a,target=/t true", ["a"]),
    "bind is the default": ("RUN --mount=target=/t true", ["."]),
    "src": ("RUN --mount=type=bind,src=./a/,target=/t true", ["a"]),
    "cache mount": ("RUN --mount=type=cache,target=/t,source=a true", []),
    "mount from a stage": ("RUN --mount=type=bind,from=0,source=a,target=/t true", []),
    "quoted mount": ('RUN --mount="type=bind,source=a,target=/t" true', ["a"]),
    "argument": ("ARG D=a\nCOPY $D/x ${D}y ${D:-z} ${E:-z} ${D:+p} ${E:+p}q /", ["a/x", "ay", "a", "z", "p", "q"]),
    "environment": ("ENV D=a E='b c'\nCOPY $D $E /", ["a", "b c"]),
    "old environment": ("ENV D a b\nCOPY $D /", ["a b"]),
    "environment beats argument": ("ENV D=e\nARG D=a\nCOPY $D /", ["e"]),
    "old value within one ENV": ("ENV D=a\nENV D=b E=$D\nCOPY $E /", ["a"]),
    "escaped dollar": ("ARG D=a\nCOPY \\$D /", ["$D"]),
    "single quotes": ("ARG D=a\nCOPY '$D' /", ["$D"]),
    "double quotes": ('ARG D=a\nCOPY "$D" /', ["a"]),
    "prefix and suffix": ("ARG D=x/a.go\nCOPY ${D#x/} ${D%.go} ${D/a/b} /", ["a.go", "x/a", "x/b.go"]),
    "longest": ("ARG D=a/b/c\nCOPY ${D##*/} ${D%%/*} ${D#*/} ${D%/*} /", ["c", "a", "b/c", "a/b"]),
    "undeclared": ("COPY a$D /", ["a"]),
    "only the builder knows": ("ARG TARGETARCH\nCOPY bin/$TARGETARCH/app /", ["bin/*/app"]),
    "onbuild": ("ONBUILD COPY a /", []),
    "exclude": ("COPY --exclude=*.md --exclude=x a /", ["a"]),
}


@pytest.mark.parametrize("body,expected", COPIES.values(), ids=COPIES.keys())
def test_an_instruction_names_its_files(body: str, expected: list[str]) -> None:
    found = patterns(f"FROM scratch\n{body}\n")
    assert found == expected


def test_given_arguments_beat_defaults_and_null_does_not() -> None:
    text = "FROM scratch\nARG D=a\nCOPY $D /\n"
    assert patterns(text, D="b") == ["b"]
    assert patterns(text, D=None) == ["a"]
    assert patterns("FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /\n", TARGETARCH="arm64") == ["arm64"]


def test_a_global_argument_needs_a_declaration_in_the_stage() -> None:
    text = "ARG D=a\nFROM scratch\nCOPY x$D /\nARG D\nCOPY x$D /\n"
    assert patterns(text) == ["x", "xa"]
    assert patterns(text, D="b") == ["x", "xb"]


def test_excludes_are_kept() -> None:
    assert read("FROM scratch\nCOPY --exclude=*.md --exclude=x a /\n").copies[0].excludes == ("*.md", "x")


STAGES = """ARG BASE=alpine
FROM $BASE:3 AS base
COPY base /
ARG INHERITED=i
FROM base AS build
COPY build $INHERITED /
FROM base AS unused
COPY unused /
FROM nowhere AS also-unused
FROM scratch AS last
COPY --from=build x /
COPY --from=docker.io/library/busybox y /
COPY last /
"""


def test_only_the_stages_that_the_target_needs_count() -> None:
    assert patterns(STAGES) == ["base", "build", "i", "last"]
    assert read(STAGES).base_images == ("docker.io/library/busybox", "alpine:3")
    assert patterns(STAGES, "build") == ["base", "build", "i"]
    assert patterns(STAGES, "BASE") == ["base"]
    assert patterns(STAGES, "1") == ["base", "build", "i"]
    assert read(STAGES, "also-unused").base_images == ("nowhere",)
    assert read(STAGES, "base", BASE="debian").base_images == ("debian:3",)


def test_the_legacy_builder_builds_all_stages_up_to_the_target() -> None:
    assert patterns(STAGES, all_stages=True) == ["base", "build", "i", "unused", "last"]
    assert patterns(STAGES, "unused", all_stages=True) == ["base", "build", "i", "unused"]


def test_stages_by_number_mount_and_unknown_name() -> None:
    text = "FROM a AS x\nCOPY x /\nFROM b AS y-amd64\nCOPY y /\nFROM b AS y-arm64\nCOPY z /\n"
    assert patterns(f"{text}FROM scratch\nCOPY --from=0 . .\n") == ["x"]
    assert patterns(f"{text}FROM scratch\nRUN --mount=from=x,target=/t true\n") == ["x"]
    assert patterns(f"{text}FROM y-$TARGETARCH\n") == ["y", "z"]
    assert patterns(f"{text}FROM y-$TARGETARCH\n", TARGETARCH="arm64") == ["z"]
    # A name that comes later is no stage yet, but an image.
    assert read("FROM scratch\nCOPY --from=later a /\nFROM x AS later\n", "0").base_images == ("later",)


def test_a_long_chain_of_stages() -> None:
    stages = [f"FROM s{number - 1} AS s{number}\nCOPY f{number} /" for number in range(1, 1500)]
    text = "\n".join(["FROM scratch AS s0\nARG A=a", *stages, "FROM s1499\nCOPY $A /"])
    assert patterns(text) == [*(f"f{number}" for number in range(1, 1500)), "a"]


def test_onbuild_of_a_stage_runs_in_the_stage_that_builds_on_it() -> None:
    text = "FROM scratch AS a\nONBUILD COPY held /\nFROM a AS b\nCOPY b /\nFROM b\nCOPY c /\n"
    assert patterns(text) == ["held", "b", "c"]
    assert patterns(text, "a") == []


def test_a_base_image_brings_variables_and_onbuild() -> None:
    bases = {"jdk:21": BaseImage({"APP": "app"}, ["COPY pom.xml /", "ARG MORE=more"])}
    parsed = parse("ARG V=21\nFROM jdk:$V AS a\nCOPY $APP/ $MORE /\nFROM a\nCOPY $APP.txt /\n", file="Dockerfile")
    found = sources(parsed, {}, base_image=bases.get)
    assert [copy.patterns for copy in found.copies] == [("pom.xml",), ("app", "more"), ("app.txt",)]
    assert found.copies[0].position.line == 2


def test_what_else_is_told() -> None:
    found = read("# syntax=docker/dockerfile:1.7\nARG A\nFROM scratch\nARG B=1 C\nRUN --mount=type=cache,target=/c <<E\nE\n")
    assert found.syntax == "docker/dockerfile:1.7"
    assert found.arguments == {"A", "B", "C"}
    assert found.heredocs and found.mounts
    plain = read("FROM scratch\nARG A\nCOPY a /\n")
    assert (plain.syntax, plain.heredocs, plain.mounts) == ("", False, False)
    # A heredoc of a stage that is not built does not stop an old engine.
    assert not read("FROM scratch AS a\nRUN <<E\nE\nFROM scratch\n").heredocs


def test_directives_and_byte_order_mark() -> None:
    assert patterns("# escape=`\nFROM scratch\nCOPY a `\n b\\c /\n") == ["a", "b\\c"]
    assert patterns("\ufeffFROM scratch\nCOPY a /\n") == ["a"]
    # Behind any other line a directive is a comment.
    assert patterns("# hello\n# escape=`\nFROM scratch\nCOPY a \\\n b /\n") == ["a", "b"]


def test_positions_count_from_the_instruction() -> None:
    text = "# x\n\nFROM scratch\nRUN <<EOF\none\nEOF\nCOPY a \\\n b /\nCOPY c /\n"
    assert [copy.position.line for copy in read(text).copies] == [7, 9]


MISTAKES = {
    "": (0, "no FROM"),
    "# only\n": (0, "no FROM"),
    "COPY a /\nFROM scratch\n": (1, "before the first FROM"),
    "FROM scratch\nCOPPY a /\n": (2, "unknown instruction: COPPY"),
    "FROM scratch\nCOPY a\n": (2, "at least two arguments"),
    "FROM a b\n": (1, "FROM requires"),
    "FROM\n": (1, "FROM requires"),
    "FROM a AS 1x\n": (1, "invalid name for build stage"),
    "FROM scratch\n\nRUN <<EOF\nx\n": (3, "unterminated heredoc"),
    "# escape=x\nFROM scratch\n": (1, "invalid escape token"),
    "# syntax=a\n# syntax=b\nFROM scratch\n": (2, "only one syntax"),
    "FROM $NOTHING\n": (1, "should not be blank"),
    "FROM scratch\nCOPY ${A /\n": (2, "matching }"),
    "FROM scratch\nCOPY ${A*b} /\n": (2, "unsupported modifier"),
    "FROM scratch\nCOPY 'a /\n": (2, "single-quote"),
    'FROM scratch\nCOPY "a /\n': (2, "double-quote"),
    "FROM scratch\nCOPY ${A:?needed} /\n": (2, "A: needed"),
    "FROM scratch\nCOPY ${} /\n": (2, "bad substitution"),
}


@pytest.mark.parametrize("text,expected", MISTAKES.items(), ids=[name.replace("\n", "/") for name in MISTAKES])
def test_a_mistake_names_its_line(text: str, expected: tuple[int, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert caught.value.where is not None
    assert (caught.value.where.file, caught.value.where.line) == ("Dockerfile", expected[0])
    assert expected[1] in caught.value.message


def test_an_unknown_target_names_the_stages_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'nope'.*\n.*base, build, unused"):
        read(STAGES, "nope")
    with pytest.raises(ConfigError, match="'7'"):
        read(STAGES, "7")


def test_another_frontend_may_know_other_instructions() -> None:
    assert patterns("# syntax=mine\nFROM scratch\nINCLUDE x\nCOPY a /\n") == ["a"]


WORD = st.text(alphabet="abc./*$\\{}:-'\"<[] \t", max_size=8)
LINE = st.one_of(
    st.sampled_from(["FROM", "COPY", "ADD", "RUN", "ARG", "ENV", "ONBUILD", "RUN <<A", "A", "#", "\\", "COPY --from="]),
    st.builds("{} {} {}".format, st.sampled_from(["FROM", "COPY", "ARG", "ENV", "RUN", "ONBUILD COPY"]), WORD, WORD),
    st.text(max_size=20),
)


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(LINE, max_size=12), st.booleans())
def test_any_text_is_read_or_refused(lines: list[str], rooted: bool) -> None:
    text = "\n".join((["FROM scratch"] if rooted else []) + lines)
    try:
        found = read(text, all_stages=True)
    except ConfigError as error:
        assert error.where is not None and error.where.file == "Dockerfile"
        assert error.where.line <= text.count("\n") + 1
    else:
        for copy in found.copies:
            assert all(name and not name.startswith(("/", "../")) for name in copy.patterns)


NAMES = st.lists(
    st.text(alphabet="abcdef_-.0", min_size=1).filter(lambda name: name.strip(".") and not name.startswith("--")),
    min_size=1,
    max_size=5,
)


@settings(deadline=None)  # a busy machine is no failure
@given(
    NAMES, st.lists(st.sampled_from([" ", "\t", " \\\n ", " \\\n# c\n", " \\\n\n", " \\  \r\n "]), min_size=6, max_size=6)
)
def test_white_space_and_continuations_change_nothing(names: list[str], gaps: list[str]) -> None:
    line = "COPY"
    for name, gap in zip([*names, "/"], gaps, strict=False):
        line += f"{gap}{name}"
    found = patterns(f"FROM scratch\n{line}\nCOPY end /\n")
    assert found == [*dict.fromkeys(names), "end"]
