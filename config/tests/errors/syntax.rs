//! Text that is no TOML, keys that are none, and how mistakes are shown.

use crate::{check, check_alone};

#[test]
fn an_unknown_key_gets_a_suggestion_or_its_place() {
    check(
        r##"
[server]
grace = "30s"
stat_dir = "x"
stages = []
colour = 1
"##,
        r##"
s.toml:2:1: unknown key 'grace' in [server]
  2 | grace = "30s"
    | ^^^^^
    = help: did you mean 'grace_period'?

s.toml:3:1: unknown key 'stat_dir' in [server]
  3 | stat_dir = "x"
    | ^^^^^^^^
    = help: did you mean 'state_dir'?

s.toml:4:1: unknown key 'stages' in [server]
  4 | stages = []
    | ^^^^^^
    = help: 'stages' belongs in [service.NAME.rollout]

s.toml:5:1: unknown key 'colour' in [server]
  5 | colour = 1
    | ^^^^^^
    = help: known keys: state_dir, threads, grace_period
"##,
    );
    check(
        r##"
[sever]
threads = 1
"##,
        r##"
s.toml:1:2: unknown key 'sever' at the top of the file
  1 | [sever]
    |  ^^^^^
    = help: did you mean 'server'?
"##,
    );
    check(
        r##"
[service.shop.stable]
endpoints = ["app:80"]
[service.shop.rolout]
mode = "observe"
"##,
        r##"
s.toml:3:15: unknown key 'rolout' in [service.shop]
  3 | [service.shop.rolout]
    |               ^^^^^^
    = help: did you mean 'rollout'?
"##,
    );
}

#[test]
fn all_errors_of_a_file_come_at_once() {
    check(
        r##"
[server]
threads = "two"
grace_period = "10 parsecs"
[listener.web]
address = "8080"
[probe.p]
service = "shpo"
step = [{ get = "/", expect = { stauts = 200, json = [{ path = "ok" }] } }]
"##,
        r##"
s.toml:2:11: expected a whole number, found a string
  2 | threads = "two"
    |           ^^^^^
    = help: write the number without quotes

s.toml:3:16: "10 parsecs" is not a duration
  3 | grace_period = "10 parsecs"
    |                ^^^^^^^^^^^^
    = help: write a number and a unit: "250ms", "30s", "5m", "1h" or "1m30s"

s.toml:5:11: "8080" is not an address to listen on
  5 | address = "8080"
    |           ^^^^^^
    = help: write "0.0.0.0:8080" for every address of the machine

s.toml:7:11: there is no service 'shpo'
  7 | service = "shpo"
    |           ^^^^^^
    = help: did you mean 'shop'?

s.toml:8:33: unknown key 'stauts' in [probe.p.step.expect]
  8 | step = [{ get = "/", expect = { stauts = 200, json = [{ path = "ok" }] } }]
    |                                 ^^^^^^
    = help: did you mean 'status'?

s.toml:8:64: "ok" is not a JSONPath
  8 | step = [{ get = "/", expect = { stauts = 200, json = [{ path = "ok" }] } }]
    |                                                                ^^^^
    = help: a path begins with '$': "$.ok"
"##,
    );
}

#[test]
fn a_key_that_is_there_twice_does_not_hide_other_errors() {
    check(
        r##"
[server]
threads = 1
threads = 2
grace_period = 5
"##,
        r##"
s.toml:3:1: 'threads' is here twice
  3 | threads = 2
    | ^^^^^^^
    = help: keep one of the two

s.toml:4:16: expected a duration, found a whole number
  4 | grace_period = 5
    |                ^
    = help: add a unit: "5s"
"##,
    );
    check(
        r##"
[server]
threads = 1
[server]
threads = 2
"##,
        r##"
s.toml:3:2: 'server' is here twice
  3 | [server]
    |  ^^^^^^
    = help: keep one of the two

s.toml:4:1: 'threads' is here twice
  4 | threads = 2
    | ^^^^^^^
    = help: keep one of the two
"##,
    );
}

#[test]
fn broken_syntax_is_shown_where_it_breaks() {
    check(
        r##"
[server
threads = 1
"##,
        r##"
s.toml:1:8: syntax: unclosed table
  1 | [server
    |        ^
    = help: expected `]`
"##,
    );
    check(
        r##"
[server]
state_dir = "never closed
threads = 
"##,
        r##"
s.toml:2:26: syntax: invalid basic string
  2 | state_dir = "never closed
    |                          ^
    = help: expected `"`

s.toml:3:11: syntax: there is no value
  3 | threads =
    |           ^
    = help: write it after the '='
"##,
    );
    check(
        r##"
[server]
threads 1
"##,
        r##"
s.toml:2:9: syntax: key with no value
  2 | threads 1
    |         ^
    = help: expected `=`
"##,
    );
    check(
        r##"
[server]
threads = [1, 2
"##,
        r##"
s.toml:3:1: syntax: missing comma between array elements
  3 | [listener.web]
    | ^
    = help: expected `,`

s.toml:3:2: syntax: this is no value
  3 | [listener.web]
    |  ^^^^^^^^^^^^
    = help: text stands in quotes: "..."

s.toml:4:9: syntax: unexpected `=` in array
  4 | address = "0.0.0.0:8080"
    |         ^
    = help: expected value, `]`

s.toml:8:23: syntax: unclosed array
  8 | endpoints = ["app:80"]
    |                       ^
    = help: expected `]`
"##,
    );
    check(
        r##"
[server]
state_dir = /var/lib

threads = two
grace_period = thirty
"##,
        r##"
s.toml:2:13: syntax: this is no value
  2 | state_dir = /var/lib
    |             ^^^^^^^^
    = help: text stands in quotes: "..."

s.toml:4:11: syntax: this is no value
  4 | threads = two
    |           ^^^
    = help: write true or false, or text in quotes: "..."

s.toml:5:16: syntax: this is no value
  5 | grace_period = thirty
    |                ^^^^^^
    = help: write true or false, or text in quotes: "..."
"##,
    );
    check(
        r##"
[service.shop]
stable = { endpoints = ["app:80" }
"##,
        r##"
s.toml:2:34: syntax: missing comma between array elements
  2 | stable = { endpoints = ["app:80" }
    |                                  ^
    = help: expected `,`

s.toml:3:2: syntax: this is no value
  3 | [listener.web]
    |  ^^^^^^^^^^^^
    = help: text stands in quotes: "..."

s.toml:4:9: syntax: unexpected `=` in array
  4 | address = "0.0.0.0:8080"
    |         ^
    = help: expected value, `]`

s.toml:6:17: syntax: unclosed array
  6 | service = "shop"
    |                 ^
    = help: expected `]`
"##,
    );
}

#[test]
fn columns_count_characters() {
    check(
        r##"
[service."größe".stable]
endpoints = ["app:80"]
"##,
        r##"
s.toml:1:10: "größe" cannot be a name
  1 | [service."größe".stable]
    |          ^^^^^^^
    = help: a name has up to 63 letters, digits, '-', '_' and '.', and begins with a letter or digit

s.toml:6:11: there is no service 'shop'
  6 | service = "shop"
    |           ^^^^^^
    = help: known services: größe
"##,
    );
    check(
        "\n[route.a]\nservice = \"shop\"\n\thosts = [\"käse.de\", \"Shop.de\"]\n",
        r##"
s.toml:3:11: "käse.de" has letters that no Host header has
  3 | 	hosts = ["käse.de", "Shop.de"]
    | 	         ^^^^^^^^^
    = help: write international names as they travel: "xn--..."

s.toml:3:22: "Shop.de" would never match as it is written
  3 | 	hosts = ["käse.de", "Shop.de"]
    | 	                    ^^^^^^^^^
    = help: write "shop.de"
"##,
    );
}

#[test]
fn a_file_that_serves_nothing_is_refused() {
    check_alone(
        "",
        r##"
s.toml:1:1: there is no listener: nothing would be served
  1 | 
    | ^
    = help: add [listener.web] with address = "0.0.0.0:8080"

s.toml:1:1: there is no route: nothing would be served
  1 | 
    | ^
    = help: add [route.all] with service = "NAME"

s.toml:1:1: there is no service: nothing would be served
  1 | 
    | ^
    = help: add [service.NAME.stable] with endpoints = ["HOST:PORT"]
"##,
    );
}

#[test]
fn names_fit_into_labels_and_paths() {
    check(
        r##"
[route."a/b"]
service = "shop"
[listener.""]
address = "0.0.0.0:80"
"##,
        r##"
s.toml:1:8: "a/b" cannot be a name
  1 | [route."a/b"]
    |        ^^^^^
    = help: a name has up to 63 letters, digits, '-', '_' and '.', and begins with a letter or digit

s.toml:3:11: "" cannot be a name
  3 | [listener.""]
    |           ^^
    = help: a name has up to 63 letters, digits, '-', '_' and '.', and begins with a letter or digit
"##,
    );
}

#[test]
fn a_terminal_shows_the_file_and_does_not_obey_it() {
    check(
        "\n[server]\nstate_dir = \"\u{1b}[31mred\"\n",
        r##"
s.toml:2:14: syntax: invalid basic string
  2 | state_dir = "�[31mred"
    |              ^
    = help: expected non-double-quote visible characters, `\`
"##,
    );
}
