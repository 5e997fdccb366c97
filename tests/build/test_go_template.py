"""Go templates: what Go's text/template and Sprig print for the same template."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfold.errors import ConfigError, Position
from kfold.plan.go_format import printf, quoted
from kfold.plan.go_template import render
from kfold.plan.go_time import format_time

DATA = {"A": "x", "B": {"C": "c"}, "N": 5, "F": 1.5, "L": [1, 2, 3], "E": [], "M": [{"k": "v"}], "T": True}
ENVIRONMENT = {"HOME": "/home/me", "EMPTY": ""}
NOW = datetime(2024, 3, 5, 14, 7, 9, 120_000, tzinfo=timezone(timedelta(hours=1), "CET"))


def shown(template: str) -> str:
    return render(template, DATA, environment=ENVIRONMENT, now=NOW)


TABLE = [
    ("plain", "plain"),
    ("{{.A}}|{{ .B.C }}|{{.N}}|{{.F}}|{{.T}}|{{.L}}|{{.B}}", "x|c|5|1.5|true|[1 2 3]|map[C:c]"),
    ("{{.Z}} {{.Z.Y}} {{.B.Z}}", "<no value> <no value> <no value>"),
    ("{{(.B).C}}{{(index .M 0).k}}{{$.A}}", "cvx"),
    ("{{if .A}}a{{else}}b{{end}}{{if .E}}a{{else}}b{{end}}", "ab"),
    ('{{if eq .A "y"}}1{{else if eq .N 5}}2{{else}}3{{end}}', "2"),
    ('{{if not (eq .A "x")}}1{{else if .Z}}2{{else}}3{{end}}', "3"),
    ("{{with .B}}{{.C}}{{$.A}}{{end}}{{with .Z}}1{{else}}2{{end}}{{with $v := .A}}{{$v}}{{.}}{{end}}", "cx2xx"),
    ("{{range .L}}{{.}},{{end}}{{range .E}}x{{else}}none{{end}}", "1,2,3,none"),
    ("{{range $i, $v := .L}}{{$i}}={{$v}};{{end}}{{range $k, $v := .B}}{{$k}}={{$v}}{{end}}", "0=1;1=2;2=3;C=c"),
    ("{{range .L}}{{if eq . 2}}{{continue}}{{end}}{{.}}{{end}}{{range .L}}{{if eq . 2}}{{break}}{{end}}{{.}}{{end}}", "131"),
    ("{{$x := 1}}{{if true}}{{$x = 2}}{{$x := 3}}{{$x}}{{end}}{{$x}}", "32"),
    ('a {{- "b" -}}  c {{/* no */}}d {{- /* no */ -}} e', "abc de"),
    ("{{\n.A\n}}", "x"),
    (r'{{"a\tb\"\x41\u00e9"}}{{`raw\n`}}{{' + "'x'}}", 'a\tb"Aéraw\\n120'),
    ("{{0x1F}} {{010}} {{1_000}} {{-5}} {{1e6}} {{123456.0}} {{0.00001}} {{1.50}}", "31 8 1000 -5 1e+06 123456 1e-05 1.5"),
    ('{{.A | upper | printf "%s-%s" "v"}}', "v-X"),
    ('{{1 | add 2 | printf "%d-%d" 7}}', "7-3"),
    ('{{and 1 0 (index .L 99)}} {{or 0 "" .A (index .L 99)}} {{and 1 2}} {{or 0 ""}}|{{true | and false}}', "0 x 2 |false"),
    (
        '{{eq 1 2 1}} {{ne 1 2}} {{lt 1 2}} {{le 2 2}} {{gt "b" "a"}} {{ge 1.5 2.0}} {{eq .Z nil}}',
        "true true true true true false true",
    ),
    ('{{len "héy"}} {{len .L}} {{len .B}} {{index .L 1}} {{index .B "C"}} {{slice "abcdef" 1 3}}', "4 3 1 2 c bc"),
    ('{{print "a" 1 2 "b" "c"}}|{{println "a" 1}}', "a1 2b c|a 1\n".replace("b c", "bc")),
    (
        '{{printf "%s %d %v %q %x %X %t %5.2f %c %%" "s" 5 .L "q" "hi" 255 true 3.14159 65}}',
        's 5 [1 2 3] "q" 6869 FF true  3.14 A %',
    ),
    ('{{upper "a"}}{{lower "B"}} {{title "hello wORLD"}} {{trim " x "}} {{trimAll "$" "$5$"}}', "Ab Hello WORLD x 5"),
    ('{{trimPrefix "v" "v1"}} {{trimSuffix "-x" "1-x"}} {{nospace " a b "}} {{replace "." "-" "a.b.c"}}', "1 1 ab a-b-c"),
    ('{{trunc 3 "abcdef"}} {{trunc -3 "abcdef"}} {{trunc 9 "ab"}} {{trunc -9 "ab"}}', "abc def ab ab"),
    ('{{substr 1 3 "abcdef"}} {{substr -1 3 "abcdef"}} {{substr 2 -1 "abcdef"}} {{substr 2 99 "abc"}}', "bc abc cdef c"),
    ('{{contains "b" "abc"}} {{hasPrefix "a" "abc"}} {{hasSuffix "a" "abc"}}', "true true false"),
    (
        '{{quote "a" 1 "b\\"c"}} {{squote "a" 1}} {{b64enc "hello"}} {{b64dec "aGVsbG8="}}',
        '"a" "1" "b\\"c" \'a\' \'1\' aGVsbG8= hello',
    ),
    ('{{sha1sum "a"}}', "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"),
    ('{{sha256sum "a" | trunc 8}}', "ca978112"),
    ('{{join "-" .L}} {{(split "-" "a-b")._1}} {{splitList "," "a,b"}} {{first .L}} {{last .L}}', "1-2-3 b [a b] 1 3"),
    ('{{add 1 2 3}} {{add "4" 1}} {{sub 5 2}} {{int "12"}} {{int "x"}} {{int 3.7}} {{toString 5}}', "6 5 3 12 0 3 5"),
    ('{{regexMatch "^v[0-9]" "v1"}} {{regexReplaceAll "a(x*)b" "-ab-axxb-" "${1}W"}}', "true -W-xxW-"),
    ('{{default "d" ""}}{{default "d" 0}}{{default "d" .A}}{{.Z | default "e"}}{{coalesce "" 0 "y"}}', "ddxey"),
    ('{{empty ""}} {{empty .L}} {{ternary "y" "n" true}} {{false | ternary "y" "n"}}', "true false y n"),
    ('{{env "HOME"}}|{{env "NOPE"}}|{{expandenv "$HOME/${EMPTY}x"}}', "/home/me||/home/me/x"),
    ('{{now | date "2006-01-02"}}', "2024-03-05"),
]


@pytest.mark.parametrize("template,expected", TABLE)
def test_it_prints_what_go_prints(template: str, expected: str) -> None:
    assert shown(template) == expected


MISTAKES = [
    ("{{.A", "unclosed action", 1),
    ("x {{nope 1}}", 'function "nope" not defined', 5),
    ("{{.A}} {{end}}", "unexpected {{end}}", 10),
    ("{{if .A}}x", "{{if}} without {{end}}", 3),
    ("{{if}}{{end}}", "missing value", 3),
    ("{{}}", "missing value", 0),
    ('{{"a" "b"}}', "can't give argument to non-function", 3),
    ('{{"a', "unterminated quoted string", 3),
    ('{{"\\q"}}', "invalid escape", 3),
    ("{{$y}}", "undefined variable: $y", 3),
    ("{{(.A}}", "unclosed left paren", 3),
    ("{{.A)}}", "unexpected", 5),
    ("{{.A | 5}}", "only a function", 8),
    ("{{.A.B}}", "can't evaluate field B", 3),
    ("{{upper 1}}", "expected string; got 1", 3),
    ("{{upper}}", "wrong number of args: want 1 got 0", 3),
    ('{{upper "a" "b"}}', "wrong number of args: want 1 got 2", 3),
    ("{{upper .Z}}", "got <no value>", 3),
    ('{{eq 1 "1"}}', "incompatible types", 3),
    ("{{index .L 9}}", "out of range", 3),
    ('{{regexMatch "(" "a"}}', "error parsing regexp", 3),
    ("{{range .A}}{{end}}", "can't iterate over x", 9),
    ('{{define "x"}}{{end}}', "not supported", 3),
    ("{{.A}}{{&}}", "unexpected '&'", 9),
    ("{{break}}", "outside of a range", 3),
    ("{{nil}}", "nil is not a command", 3),
    ("{{now}}", "the time is not known", 3),
]


@pytest.mark.parametrize("template,reason,column", MISTAKES)
def test_a_mistake_names_its_place(template: str, reason: str, column: int) -> None:
    with pytest.raises(ConfigError) as caught:
        render(template, DATA, where=Position("kfold.yaml", 4, 2))
    assert str(caught.value).startswith("kfold.yaml:4:2: ")
    assert reason in caught.value.message
    assert column == 0 or f"line 1, column {column} " in caught.value.message


def test_positions_over_several_lines() -> None:
    with pytest.raises(ConfigError, match="line 3, column 4 of the template"):
        render("a\nb\n {{nope}}", {})


def test_functions_of_the_caller_run_programs() -> None:
    def command(*words: str) -> str:
        return subprocess.run(words, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    assert render('v{{cmd "echo" "1" .A}}', DATA, {"cmd": command}) == "v1 x"
    with pytest.raises(ConfigError, match='"cmd" not defined'):
        render('{{cmd "true"}}', DATA)


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(alphabet='{}-.AB $"`|()/*,:=ifendrawthgl 019\n\\', max_size=40).map(lambda text: "{{" + text + "}}"))
def test_any_template_is_rendered_or_refused(template: str) -> None:
    try:
        shown(template)
    except ConfigError as error:
        assert "of the template" in error.message or "nested" in error.message


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(max_size=40).filter(lambda text: "{{" not in text))
def test_text_without_actions_stays(text: str) -> None:
    assert shown(text) == text


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(max_size=20))
def test_what_is_quoted_is_read_back(text: str) -> None:
    assert shown(f"{{{{{quoted(text)}}}}}") == text


def test_deep_nesting_is_refused_without_a_traceback() -> None:
    with pytest.raises(ConfigError, match="nested"):
        shown("{{" + "(" * 5000 + "1" + ")" * 5000 + "}}")
    with pytest.raises(ConfigError, match="nested"):
        shown("{{if 1}}" * 5000 + "{{end}}" * 5000)


@pytest.mark.parametrize(
    "layout,values,expected",
    [
        ("%d", ("x",), "%!d(string=x)"),
        ("%s", (5,), "%!s(int=5)"),
        ("%s", (), "%!s(MISSING)"),
        ("%s", ("a", "b"), "a%!(EXTRA string=b)"),
        ("%", (), "%!(NOVERB)"),
        ("%05d|%-5d|%+d|%5d|%x", (-3, 3, 3, 3, 255), "-0003|3    |+3|    3|ff"),
        ("%-4s|%4s|%.2s", ("a", "b", "abc"), "a   |   b|ab"),
        ("%t %v %T", (True, None, 1.5), "true <nil> float64"),
        ("%e %g %.3f", (1500.0, 1e7, 2.0), "1.500000e+03 1e+07 2.000"),
    ],
)
def test_printf(layout: str, values: tuple[object, ...], expected: str) -> None:
    assert printf(layout, *values) == expected


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    "moment,layout,expected",
    [
        (NOW, "2006-01-02_15-04-05.999_MST", "2024-03-05_14-07-09.12_CET"),
        (NOW.replace(microsecond=0), "2006-01-02_15-04-05.999_MST", "2024-03-05_14-07-09_CET"),
        (NOW.replace(microsecond=999), "05.999", "09"),
        (NOW, "05.000 05,000000 .99", "09.120 09,120000 .12"),
        (NOW.astimezone(UTC), "MST Z0700 Z07:00 -0700 -07:00 -07", "UTC Z Z +0000 +00:00 +00"),
        (NOW.astimezone(ZoneInfo("Asia/Kolkata")), "MST Z07:00 -0700 -07", "IST +05:30 +0530 +05"),
        (NOW.astimezone(timezone(timedelta(hours=-3))), "MST -07:00:00", "-03 -03:00:00"),
        (NOW.astimezone(timezone(timedelta(hours=5, minutes=30))), "MST", "+0530"),
        (datetime(2024, 7, 1, tzinfo=BERLIN), "MST", "CEST"),
        (
            NOW,
            "Monday Mon January Jan 2 _2 02 1 01 06 3 03 4 04 5 PM pm 002 __2",
            "Tuesday Tue March Mar 5  5 05 3 03 24 2 02 7 07 9 PM pm 065  65",
        ),
        (NOW, "Month Janet _2006", "Month Janet _2024"),
        (NOW.replace(hour=0), "3PM", "12AM"),
        (NOW, "20060102150405", "20240305140709"),
        (NOW, "v", "v"),
    ],
)
def test_go_time_layouts(moment: datetime, layout: str, expected: str) -> None:
    assert format_time(moment, layout) == expected


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no zone"):
        format_time(datetime(2024, 1, 1), "2006")
