//! What is wrong with a file, as its author sees it.

use serinus_config::parse;
use std::path::Path;

const REST: [(&str, &str); 3] = [
    ("[listener", "[listener.web]\naddress = \"0.0.0.0:8080\"\n"),
    ("[route", "[route.all]\nservice = \"shop\"\n"),
    ("[service", "[service.shop.stable]\nendpoints = [\"app:80\"]\n"),
];

/// Parses `input`, completed below with what a file needs and the input does not have, and
/// compares all that is said of it.
#[track_caller]
fn check(input: &str, expect: &str) {
    let mut text = input.trim_start_matches('\n').to_owned();
    for (header, rest) in REST {
        if !input.contains(header) {
            text.push_str(rest);
        }
    }
    check_alone(&text, expect);
}

/// Parses `input` as it stands and compares all that is said of it.
#[track_caller]
fn check_alone(input: &str, expect: &str) {
    let said = match parse(input, Path::new("s.toml")) {
        Ok(settings) => settings.warnings.join("\n"),
        Err(errors) => errors.to_string(),
    };
    assert_eq!(said.trim_end(), expect.trim(), "\n--- said:\n{said}");
}

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
fn a_value_of_the_wrong_type_says_what_was_expected() {
    check(
        r##"
server = 1
[log]
level = 3
access = "yes"
[listener.web]
address = 8080
[service.shop]
stable = "app:80"
[service.bag.stable]
version = 1.8
endpoints = "app:80"
[service.bag.rollout]
mirror = "5%"
sticky = 1
mode = true
margin = "big"
anomaly_threshold = "high"
"##,
        r##"
s.toml:1:10: expected a table, found a whole number
  1 | server = 1
    |          ^
    = help: its keys are state_dir, threads, grace_period

s.toml:3:9: expected a log level, found a whole number
  3 | level = 3
    |         ^
    = help: write it in quotes, like "info"

s.toml:4:10: expected true or false, found a string
  4 | access = "yes"
    |          ^^^^^
    = help: write true or false, without quotes

s.toml:6:11: expected an address, found a whole number
  6 | address = 8080
    |           ^^^^
    = help: write it in quotes, like "0.0.0.0:8080"

s.toml:8:10: expected a table, found a string
  8 | stable = "app:80"
    |          ^^^^^^^^
    = help: its keys are version, endpoints

s.toml:10:11: expected a version, found a number
  10 | version = 1.8
     |           ^^^
     = help: write it in quotes, like "1.9.0"

s.toml:11:13: expected a list, found a string
  11 | endpoints = "app:80"
     |             ^^^^^^^^
     = help: put it in square brackets: ["app:80"]

s.toml:13:10: expected a percentage, found a string
  13 | mirror = "5%"
     |          ^^^^
     = help: write the number alone, like 5 or 0.5

s.toml:14:10: expected a string or { header = ... }, found a whole number
  14 | sticky = 1
     |          ^
     = help: write "none", "cookie", "client_ip" or { header = "x-user-id" }

s.toml:15:8: expected "enforce" or "observe", found true or false
  15 | mode = true
     |        ^^^^
     = help: write it in quotes, like "enforce"

s.toml:16:10: expected an odds ratio, found a string
  16 | margin = "big"
     |          ^^^^^
     = help: 1 tolerates nothing, 1.25 a quarter more failures, 2 twice as many

s.toml:17:21: expected a number between 0 and 1, found a string
  17 | anomaly_threshold = "high"
     |                     ^^^^^^
     = help: write a number like 0.8
"##,
    );
}

#[test]
fn durations_have_units() {
    check(
        r##"
[server]
grace_period = "10 parsecs"
[listener.web]
address = "0.0.0.0:80"
header_timeout = 30
keepalive_timeout = "0s"
[service.shop.timeouts]
connect = "1.5s"
read = true
[service.shop.stable]
endpoints = ["app:80"]
"##,
        r##"
s.toml:2:16: "10 parsecs" is not a duration
  2 | grace_period = "10 parsecs"
    |                ^^^^^^^^^^^^
    = help: write a number and a unit: "250ms", "30s", "5m", "1h" or "1m30s"

s.toml:5:18: expected a duration, found a whole number
  5 | header_timeout = 30
    |                  ^^
    = help: add a unit: "30s"

s.toml:6:21: this duration cannot be zero
  6 | keepalive_timeout = "0s"
    |                     ^^^^
    = help: write a longer one, like "1s"

s.toml:8:11: "1.5s" is not a duration
  8 | connect = "1.5s"
    |           ^^^^^^
    = help: write a number and a unit: "250ms", "30s", "5m", "1h" or "1m30s"

s.toml:9:8: expected a duration, found true or false
  9 | read = true
    |        ^^^^
    = help: write a number and a unit: "250ms", "30s", "5m", "1h" or "1m30s"
"##,
    );
}

#[test]
fn weights_are_hundredths_of_a_percent_and_never_fall() {
    check(
        r##"
[service.shop.stable]
endpoints = ["app:80"]
[service.shop.rollout]
stages = [
  { weight = 0.001, hold = "1m" },
  { weight = 10, hold = "1m" },
  { weight = 5, hold = "1m" },
  { weight = 101, hold = "1m" },
  { weight = -1, hold = "1m" },
]
mirror = 1e9
"##,
        r##"
s.toml:5:14: a weight is a percentage from 0 to 100 in steps of 0.01, not 0.001
  5 |   { weight = 0.001, hold = "1m" },
    |              ^^^^^
    = help: round it to 0.01

s.toml:7:14: weights never fall, but 5% follows 10%
  7 |   { weight = 5, hold = "1m" },
    |              ^
    = help: raise it, or put the stages in order; users who have the canary keep it

s.toml:8:14: a weight is a percentage from 0 to 100 in steps of 0.01, not 101
  8 |   { weight = 101, hold = "1m" },
    |              ^^^
    = help: 100 is everybody

s.toml:9:14: a weight is a percentage from 0 to 100 in steps of 0.01, not -1
  9 |   { weight = -1, hold = "1m" },
    |              ^^
    = help: 0 is nobody

s.toml:11:10: a weight is a percentage from 0 to 100 in steps of 0.01, not 1000000000
  11 | mirror = 1e9
     |          ^^^
     = help: 100 is everybody
"##,
    );
}

#[test]
fn stages_are_complete_and_not_empty() {
    check(
        r##"
[service.shop.stable]
endpoints = ["app:80"]
[service.shop.rollout]
stages = []
[service.bag.stable]
endpoints = ["app:80"]
[service.bag.rollout]
stages = [{ weight = 5 }, { hold = "1m" }, {}]
"##,
        r##"
s.toml:4:10: a rollout without stages leads nowhere
  4 | stages = []
    |          ^^
    = help: write at least one: [{ weight = 100, hold = "30m" }], or leave 'stages' out

s.toml:8:11: missing key 'hold' in [service.bag.rollout.stages]
  8 | stages = [{ weight = 5 }, { hold = "1m" }, {}]
    |           ^^^^^^^^^^^^^^
    = help: add hold = ...: How long the canary must look well at this weight

s.toml:8:27: missing key 'weight' in [service.bag.rollout.stages]
  8 | stages = [{ weight = 5 }, { hold = "1m" }, {}]
    |                           ^^^^^^^^^^^^^^^
    = help: add weight = ...: Percent of users on the canary, in steps of 0.01; 0 is probes only

s.toml:8:44: missing key 'weight' in [service.bag.rollout.stages]
  8 | stages = [{ weight = 5 }, { hold = "1m" }, {}]
    |                                            ^^
    = help: add weight = ...: Percent of users on the canary, in steps of 0.01; 0 is probes only

s.toml:8:44: missing key 'hold' in [service.bag.rollout.stages]
  8 | stages = [{ weight = 5 }, { hold = "1m" }, {}]
    |                                            ^^
    = help: add hold = ...: How long the canary must look well at this weight
"##,
    );
}

#[test]
fn thresholds_lie_between_0_and_1_and_in_order() {
    check(
        r##"
[service.shop.stable]
endpoints = ["app:80"]
[service.shop.rollout]
anomaly_threshold = 99.9
rollback_threshold = 1.0
resume_threshold = -0.1
margin = 0.5
[service.bag.stable]
endpoints = ["app:80"]
[service.bag.rollout]
resume_threshold = 0.8
[service.tea.stable]
endpoints = ["app:80"]
[service.tea.rollout]
rollback_threshold = 0.1
"##,
        r##"
s.toml:4:21: a threshold lies between 0 and 1, not 99.9
  4 | anomaly_threshold = 99.9
    |                     ^^^^
    = help: it is no percentage: did you mean 0.999?

s.toml:5:22: a threshold lies between 0 and 1, not 1
  5 | rollback_threshold = 1.0
    |                      ^^^
    = help: at 1 it would never act: write a number like 0.999

s.toml:6:20: a threshold lies between 0 and 1, not -0.1
  6 | resume_threshold = -0.1
    |                    ^^^^
    = help: write a number like 0.8

s.toml:7:10: a margin is an odds ratio of at least 1, not 0.5
  7 | margin = 0.5
    |          ^^^
    = help: 1 tolerates nothing, 1.25 a quarter more failures, 2 twice as many

s.toml:11:20: resume_threshold (0.8) must be below rollback_threshold (0.8)
  11 | resume_threshold = 0.8
     |                    ^^^
     = help: between the two users stay withdrawn until the forecast is clearer

s.toml:15:22: resume_threshold (0.2) must be below rollback_threshold (0.1)
  15 | rollback_threshold = 0.1
     |                      ^^^
     = help: between the two users stay withdrawn until the forecast is clearer
"##,
    );
}

#[test]
fn looks_and_label_windows_make_sense() {
    check(
        r##"
[service.shop.stable]
endpoints = ["app:80"]
[service.shop.rollout]
evaluation_interval = "99ms"
label_window = ["300s", "60s"]
min_requests = -1
"##,
        r##"
s.toml:4:23: too short between two looks
  4 | evaluation_interval = "99ms"
    |                       ^^^^^^
    = help: write "100ms" or more; failures are looked at at once anyway

s.toml:5:16: a label window is two durations, the shorter first
  5 | label_window = ["300s", "60s"]
    |                ^^^^^^^^^^^^^^^
    = help: write ["60s", "300s"]: from one minute after the alarm to five

s.toml:6:16: -1 is out of range
  6 | min_requests = -1
    |                ^^
    = help: write one from 0 to 1000000000
"##,
    );
}

#[test]
fn choices_are_listed_or_suggested() {
    check(
        r##"
[log]
level = "wran"
[service.shop.stable]
endpoints = ["app:80"]
[service.shop.rollout]
mode = "observed"
on_anomaly = "panic"
sticky = "cookies"
[service.bag.stable]
endpoints = ["app:80"]
[service.bag.rollout]
sticky = "header"
[service.tea.stable]
endpoints = ["app:80"]
[service.tea.rollout]
sticky = { heder = "x-user" }
[service.oil.stable]
endpoints = ["app:80"]
[service.oil.rollout]
sticky = { header = "x user:" }
"##,
        r##"
s.toml:2:9: there is no choice "wran" here
  2 | level = "wran"
    |         ^^^^^^
    = help: did you mean "warn"?

s.toml:6:8: there is no choice "observed" here
  6 | mode = "observed"
    |        ^^^^^^^^^^
    = help: did you mean "observe"?

s.toml:7:14: there is no choice "panic" here
  7 | on_anomaly = "panic"
    |              ^^^^^^^
    = help: write "withdraw" or "hold"

s.toml:8:10: there is no choice "cookies" here
  8 | sticky = "cookies"
    |          ^^^^^^^^^
    = help: did you mean "cookie"?

s.toml:12:10: sticky by which header?
  12 | sticky = "header"
     |          ^^^^^^^^
     = help: write sticky = { header = "x-user-id" }

s.toml:16:12: unknown key 'heder' in [service.tea.rollout.sticky]
  16 | sticky = { heder = "x-user" }
     |            ^^^^^
     = help: did you mean 'header'?

s.toml:20:21: "x user:" cannot be the name of a header
  20 | sticky = { header = "x user:" }
     |                     ^^^^^^^^^
     = help: write the name alone, without colon and spaces: "x-user-id"
"##,
    );
}

#[test]
fn addresses_are_exact() {
    check(
        r##"
[listener.a]
address = ":8080"
[listener.b]
address = "127.0.0.1"
[listener.c]
address = "localhost:80"
[service.shop.stable]
endpoints = ["http://app:80/x", "app", "app:0", "app:99999", "[::1]:80", "a b:1"]
[service.bag.stable]
endpoints = []
"##,
        r##"
s.toml:2:11: ":8080" is not an address to listen on
  2 | address = ":8080"
    |           ^^^^^^^
    = help: write "0.0.0.0:8080" for every address of the machine

s.toml:4:11: "127.0.0.1" is not an address to listen on
  4 | address = "127.0.0.1"
    |           ^^^^^^^^^^^
    = help: add a port: "127.0.0.1:8080"

s.toml:6:11: "localhost:80" is not an address to listen on
  6 | address = "localhost:80"
    |           ^^^^^^^^^^^^^^
    = help: write an IP address and a port: "0.0.0.0:8080" or "[::]:8080"

s.toml:8:14: "http://app:80/x" is not an endpoint
  8 | endpoints = ["http://app:80/x", "app", "app:0", "app:99999", "[::1]:80", "a b:1"]
    |              ^^^^^^^^^^^^^^^^^
    = help: leave out scheme and path: "app:80"

s.toml:8:33: "app" is not an endpoint
  8 | endpoints = ["http://app:80/x", "app", "app:0", "app:99999", "[::1]:80", "a b:1"]
    |                                 ^^^^^
    = help: add a port: "app:80"

s.toml:8:40: "app:0" is not an endpoint
  8 | endpoints = ["http://app:80/x", "app", "app:0", "app:99999", "[::1]:80", "a b:1"]
    |                                        ^^^^^^^
    = help: write host and port: "10.0.0.11:9000", "app.internal:80", "[::1]:80"

s.toml:8:49: "app:99999" is not an endpoint
  8 | endpoints = ["http://app:80/x", "app", "app:0", "app:99999", "[::1]:80", "a b:1"]
    |                                                 ^^^^^^^^^^^
    = help: write host and port: "10.0.0.11:9000", "app.internal:80", "[::1]:80"

s.toml:8:74: "a b:1" is not an endpoint
  8 | endpoints = ["http://app:80/x", "app", "app:0", "app:99999", "[::1]:80", "a b:1"]
    |                                                                          ^^^^^^^
    = help: write host and port: "10.0.0.11:9000", "app.internal:80", "[::1]:80"

s.toml:10:13: there is no endpoint
  10 | endpoints = []
     |             ^^
     = help: write at least one: ["10.0.0.11:9000"]
"##,
    );
}

#[test]
fn two_listeners_never_share_an_address() {
    check(
        r##"
[listener.a]
address = "0.0.0.0:8080"
[listener.b]
address = "127.0.0.1:8080"
[listener.c]
address = "127.0.0.1:9901"
[listener.d]
address = "127.0.0.1:0"
[listener.e]
address = "127.0.0.1:0"
"##,
        r##"
s.toml:4:11: 127.0.0.1:8080 is taken by listener 'a'
  4 | address = "127.0.0.1:8080"
    |           ^^^^^^^^^^^^^^^^
    = help: give each an address of its own

s.toml:6:11: 127.0.0.1:9901 is taken by [admin]
  6 | address = "127.0.0.1:9901"
    |           ^^^^^^^^^^^^^^^^
    = help: give each an address of its own
"##,
    );
}

#[test]
fn certificates_come_with_keys() {
    check(
        r##"
[listener.web]
address = "0.0.0.0:8443"
[[listener.web.certificate]]
cert = "shop.pem"
[[listener.web.certificate]]
key = ""
[listener.more]
address = "0.0.0.0:8444"
certificate = []
"##,
        r##"
s.toml:3:1: missing key 'key' in [listener.web.certificate]
  3 | [[listener.web.certificate]]
    | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    = help: add key = ...: Path of the certificate's private key, PEM

s.toml:5:1: missing key 'cert' in [listener.web.certificate]
  5 | [[listener.web.certificate]]
    | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    = help: add cert = ...: Path of the certificate chain, PEM

s.toml:6:7: an empty path
  6 | key = ""
    |       ^^
    = help: write where it is, like "certs/shop.pem"

s.toml:9:15: there is no certificate
  9 | certificate = []
    |               ^^
    = help: leave it out for plain HTTP
"##,
    );
}

#[test]
fn the_admin_listener_wants_a_token_off_loopback() {
    check(
        r##"
[admin]
listen = "0.0.0.0:9901"
"##,
        r##"
s.toml:2:10: anybody who reaches 0.0.0.0:9901 could steer releases: no token
  2 | listen = "0.0.0.0:9901"
    |          ^^^^^^^^^^^^^^
    = help: add token = "..." (16 characters or more), or listen on 127.0.0.1
"##,
    );
    check(
        r##"
[admin]
listen = "0.0.0.0:9901"
token = "short"
"##,
        r##"
s.toml:3:9: a token has 16 visible ASCII characters or more
  3 | token = "short"
    |         ^^^^^^^
    = help: make one with `openssl rand -hex 24`
"##,
    );
    check(
        r##"
[admin]
listen = "0.0.0.0:9901"
token = "0123456789abcdef"
"##,
        r##"

"##,
    );
    check(
        r##"
[admin]
listen = "off"
"##,
        r##"

"##,
    );
}

#[test]
fn routes_lead_to_services_that_are_there() {
    check(
        r##"
[route.a]
service = "shpo"
[route.b]
path_prefix = "/b"
service = "elsewhere"
[route.c]
path_prefix = "/c"
"##,
        r##"
s.toml:2:11: there is no service 'shpo'
  2 | service = "shpo"
    |           ^^^^^^
    = help: did you mean 'shop'?

s.toml:5:11: there is no service 'elsewhere'
  5 | service = "elsewhere"
    |           ^^^^^^^^^^^
    = help: known services: shop

s.toml:6:1: missing key 'service' in [route.c]
  6 | [route.c]
    | ^^^^^^^^^
    = help: add service = ...: Name of the service that it leads to
"##,
    );
}

#[test]
fn two_routes_never_match_the_same() {
    check(
        r##"
[route.a]
hosts = ["x.org", "y.org"]
service = "shop"
[route.b]
hosts = ["z.org", "x.org"]
service = "shop"
[route.c]
path_prefix = "/c"
service = "shop"
[route.d]
path_prefix = "/c"
service = "shop"
[route.e]
service = "shop"
[route.f]
service = "shop"
"##,
        r##"
s.toml:5:19: routes 'a' and 'b' both match x.org with path prefix '/'
  5 | hosts = ["z.org", "x.org"]
    |                   ^^^^^^^
    = help: give one of them another host or path, or delete it

s.toml:11:15: routes 'c' and 'd' both match every host with path prefix '/c'
  11 | path_prefix = "/c"
     |               ^^^^
     = help: give one of them another host or path, or delete it

s.toml:15:1: routes 'e' and 'f' both match every host with path prefix '/'
  15 | [route.f]
     | ^^^^^^^^^
     = help: give one of them another host or path, or delete it
"##,
    );
}

#[test]
fn hosts_are_written_as_they_match() {
    check(
        r##"
[route.a]
service = "shop"
hosts = [
  "shop.example.com:8080",
  "Shop.Example.com",
  "*",
  "www.*.com",
  "*example.com",
  "https://example.com",
  "example.com.",
  "",
  "bücher.de",
  "[::1]",
]
[route.b]
hosts = []
service = "shop"
[route.c]
hosts = ["c.org", "c.org"]
service = "shop"
[route.d]
path_prefix = "api"
service = "shop"
[route.e]
path_prefix = "/e*"
service = "shop"
"##,
        r##"
s.toml:4:3: "shop.example.com:8080" has a port
  4 |   "shop.example.com:8080",
    |   ^^^^^^^^^^^^^^^^^^^^^^^
    = help: every port matches; write "shop.example.com"

s.toml:5:3: "Shop.Example.com" would never match as it is written
  5 |   "Shop.Example.com",
    |   ^^^^^^^^^^^^^^^^^^
    = help: write "shop.example.com"

s.toml:6:3: "*" is not a host
  6 |   "*",
    |   ^^^
    = help: leave out 'hosts' to match every host

s.toml:7:3: bad wildcard in "www.*.com"
  7 |   "www.*.com",
    |   ^^^^^^^^^^^
    = help: a '*' stands in front of a whole name: "*.example.com"

s.toml:8:3: bad wildcard in "*example.com"
  8 |   "*example.com",
    |   ^^^^^^^^^^^^^^
    = help: a '*' stands in front of a whole name: "*.example.com"

s.toml:9:3: "https://example.com" is not a host
  9 |   "https://example.com",
    |   ^^^^^^^^^^^^^^^^^^^^^
    = help: write a name alone: "shop.example.com" or "*.example.com"

s.toml:10:3: "example.com." would never match as it is written
  10 |   "example.com.",
     |   ^^^^^^^^^^^^^^
     = help: write "example.com"

s.toml:11:3: "" is not a host
  11 |   "",
     |   ^^
     = help: write a name alone: "shop.example.com" or "*.example.com"

s.toml:12:3: "bücher.de" has letters that no Host header has
  12 |   "bücher.de",
     |   ^^^^^^^^^^^
     = help: write international names as they travel: "xn--..."

s.toml:16:9: no host matches an empty list
  16 | hosts = []
     |         ^^
     = help: leave out 'hosts' to match every host

s.toml:19:19: "c.org" is here twice
  19 | hosts = ["c.org", "c.org"]
     |                   ^^^^^^^
     = help: keep one of the two

s.toml:22:15: path "api" does not begin with '/'
  22 | path_prefix = "api"
     |               ^^^^^
     = help: write "/api"

s.toml:25:15: path "/e*" has a '*'
  25 | path_prefix = "/e*"
     |               ^^^^^
     = help: write the start of a path alone; what is below it matches, too
"##,
    );
}

#[test]
fn a_canary_has_another_version_than_stable() {
    check(
        r##"
[service.shop.stable]
endpoints = ["app:80"]
[service.shop.canary]
endpoints = ["app:81"]
[route.all]
service = "shop"
[route.bag]
service = "bag"
path_prefix = "/bag"
[service.bag.stable]
version = "1"
endpoints = ["app:80"]
[service.bag.canary]
version = "1"
endpoints = ["app:81"]
"##,
        r##"
s.toml:1:1: a service with a canary needs the versions of both sides
  1 | [service.shop.stable]
    | ^^^^^^^^^^^^^^^^^^^^^
    = help: add version = "...": a canary that was rolled back stays out until it changes

s.toml:3:1: a service with a canary needs the versions of both sides
  3 | [service.shop.canary]
    | ^^^^^^^^^^^^^^^^^^^^^
    = help: add version = "...": a canary that was rolled back stays out until it changes

s.toml:14:11: stable and canary are both version "1"
  14 | version = "1"
     |           ^^^
     = help: name what is new: a canary that was rolled back stays out until its version changes
"##,
    );
    check(
        r##"
[service.shop.canary]
version = "2"
endpoints = ["app:81"]
"##,
        r##"
s.toml:1:10: missing key 'stable' in [service.shop]
  1 | [service.shop.canary]
    |          ^^^^
    = help: add stable = ...: The version that users have
"##,
    );
    check(
        r##"
[service.shop.stable]
version = ""
endpoints = ["app:80"]
"##,
        r##"
s.toml:2:11: a version has from 1 to 128 bytes on one line
  2 | version = ""
    |           ^^
    = help: write what names the release: "1.9.0", a tag, a commit
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
fn a_step_does_exactly_one_thing() {
    check(
        r##"
[probe.p]
service = "shop"
[[probe.p.step]]
expect = { status = 200 }
[[probe.p.step]]
get = "/"
post = "/"
[[probe.p.step]]
gte = "/"
[probe.q]
service = "shop"
step = []
[probe.r]
service = "shop"
[probe.s]
service = "shop"
[[probe.s.step]]
click = "a.next"
[[probe.s.step]]
submit = { fields = {} }
"##,
        r##"
s.toml:3:1: this step does nothing
  3 | [[probe.p.step]]
    | ^^^^^^^^^^^^^^^^
    = help: add one of get, post, put, delete, patch, head, options, submit, click

s.toml:7:1: a step does one thing, not both 'get /' and 'post /'
  7 | post = "/"
    | ^^^^
    = help: make a step of each

s.toml:8:1: this step does nothing
  8 | [[probe.p.step]]
    | ^^^^^^^^^^^^^^^^
    = help: add one of get, post, put, delete, patch, head, options, submit, click

s.toml:9:1: unknown key 'gte' in [probe.p.step]
  9 | gte = "/"
    | ^^^
    = help: did you mean 'get'?

s.toml:12:8: a probe without steps sees nothing
  12 | step = []
     |        ^^
     = help: write at least one: [{ get = "/" }]

s.toml:13:1: missing key 'step' in [probe.r]
  13 | [probe.r]
     | ^^^^^^^^^
     = help: add step = ...: Requests, in order

s.toml:18:1: there is no page yet to find this on
  18 | click = "a.next"
     | ^^^^^
     = help: put a step before it that gets the page

s.toml:20:10: missing key 'form' in [probe.s.step.submit]
  20 | submit = { fields = {} }
     |          ^^^^^^^^^^^^^^^
     = help: add form = ...: CSS selector of the form
"##,
    );
}

#[test]
fn a_request_has_at_most_one_body() {
    check(
        r##"
[probe.p]
service = "shop"
[[probe.p.step]]
post = "/"
json = { a = 1 }
body = "x"
[[probe.p.step]]
get = "/"
form = { a = "1" }
[[probe.p.step]]
submit = { form = "form" }
form = { a = "1" }
[[probe.p.step]]
post = "/"
form = { a = 1 }
[[probe.p.step]]
post = "/"
json = { a = nan }
"##,
        r##"
s.toml:6:1: a request has one body, not 'json' and 'body'
  6 | body = "x"
    | ^^^^
    = help: keep one of json, form and body

s.toml:9:1: this request has no body
  9 | form = { a = "1" }
    | ^^^^
    = help: send it with post, put or patch

s.toml:12:1: the form makes the body of a submit step
  12 | form = { a = "1" }
     | ^^^^
     = help: write what is filled in as submit = { form = ..., fields = { ... } }

s.toml:15:14: expected a string, found a whole number
  15 | form = { a = 1 }
     |              ^
     = help: write it in quotes, like "7" or "{{ token }}"

s.toml:18:14: nan cannot be written in JSON
  18 | json = { a = nan }
     |              ^^^
     = help: JSON has finite numbers only
"##,
    );
}

#[test]
fn patterns_paths_selectors_and_templates_are_valid() {
    check(
        r##"
[probe.p]
service = "shop"
[[probe.p.step]]
get = "/{{ x"
expect = { body_matches = ["ok", "a(b"], body_contains = "{% if %}" }
[[probe.p.step]]
get = "login"
expect = { json = [{ path = "token", equals = 1 }, { path = "$.[", exists = true }] }
[[probe.p.step]]
get = "https://shop.example.com/login?x=1"
expect = { header = [{ name = "content type:", matches = "*" }] }
[[probe.p.step]]
click = "a[["
capture = { t = { css = "??" }, u = { json = "$$" }, v = { regex = "[" } }
"##,
        r##"
s.toml:4:7: bad template: unexpected end of input, expected end of variable block
  4 | get = "/{{ x"
    |       ^^^^^^^
    = help: write "{{ name }}"; a literal brace pair is "{{ '{{' }}"

s.toml:5:34: bad regular expression: unclosed group
  5 | expect = { body_matches = ["ok", "a(b"], body_contains = "{% if %}" }
    |                                  ^^^^^
    = help: '.' is any character, '\.' a dot; in TOML, 'single quotes' keep backslashes

s.toml:5:58: bad template: unexpected end of block
  5 | expect = { body_matches = ["ok", "a(b"], body_contains = "{% if %}" }
    |                                                          ^^^^^^^^^^
    = help: write "{{ name }}"; a literal brace pair is "{{ '{{' }}"

s.toml:7:7: path "login" does not begin with '/'
  7 | get = "login"
    |       ^^^^^^^
    = help: write "/login"

s.toml:8:29: "token" is not a JSONPath
  8 | expect = { json = [{ path = "token", equals = 1 }, { path = "$.[", exists = true }] }
    |                             ^^^^^^^
    = help: a path begins with '$': "$.token"

s.toml:8:61: "$.[" is not a JSONPath
  8 | expect = { json = [{ path = "token", equals = 1 }, { path = "$.[", exists = true }] }
    |                                                             ^^^^^
    = help: write a path like "$.token", "$.items[0].id" or "$..price"

s.toml:10:7: path "https://shop.example.com/login?x=1" does not begin with '/'
  10 | get = "https://shop.example.com/login?x=1"
     |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
     = help: write "/login?x=1": probes go to the endpoints; 'host' of the probe is what they say as Host

s.toml:11:31: "content type:" cannot be the name of a header
  11 | expect = { header = [{ name = "content type:", matches = "*" }] }
     |                               ^^^^^^^^^^^^^^^
     = help: write the name alone, without colon and spaces: "x-user-id"

s.toml:11:58: bad regular expression: repetition operator missing expression
  11 | expect = { header = [{ name = "content type:", matches = "*" }] }
     |                                                          ^^^
     = help: '.' is any character, '\.' a dot; in TOML, 'single quotes' keep backslashes

s.toml:13:9: "a[[" is not a CSS selector
  13 | click = "a[["
     |         ^^^^^
     = help: write one like "form#login", "a.next" or "input[name=token]"

s.toml:14:25: "??" is not a CSS selector
  14 | capture = { t = { css = "??" }, u = { json = "$$" }, v = { regex = "[" } }
     |                         ^^^^
     = help: write one like "form#login", "a.next" or "input[name=token]"

s.toml:14:46: "$$" is not a JSONPath
  14 | capture = { t = { css = "??" }, u = { json = "$$" }, v = { regex = "[" } }
     |                                              ^^^^
     = help: write a path like "$.token", "$.items[0].id" or "$..price"

s.toml:14:68: bad regular expression: unclosed character class
  14 | capture = { t = { css = "??" }, u = { json = "$$" }, v = { regex = "[" } }
     |                                                                    ^^^
     = help: '.' is any character, '\.' a dot; in TOML, 'single quotes' keep backslashes
"##,
    );
}

#[test]
fn expectations_do_not_contradict_themselves() {
    check(
        r##"
[probe.p]
service = "shop"
[[probe.p.step]]
get = "/"
[probe.p.step.expect]
status = [200, 99, 1.5, "ok"]
json = [{ path = "$.a", equals = 1, matches = "1" }, { path = "$.a", exists = false }, { equals = 1 }]
header = [{ name = "a", equals = "x", exists = true }]
"##,
        r##"
s.toml:6:16: 99 is not a status code
  6 | status = [200, 99, 1.5, "ok"]
    |                ^^
    = help: write a status code, 200, or several, [200, 302]

s.toml:6:20: 1.5 is not a status code
  6 | status = [200, 99, 1.5, "ok"]
    |                    ^^^
    = help: write a status code, 200, or several, [200, 302]

s.toml:6:25: expected a status code, found a string
  6 | status = [200, 99, 1.5, "ok"]
    |                         ^^^^
    = help: write a status code, 200, or several, [200, 302]

s.toml:7:37: 'equals' and 'matches' exclude each other
  7 | json = [{ path = "$.a", equals = 1, matches = "1" }, { path = "$.a", exists = false }, { equals = 1 }]
    |                                     ^^^^^^^
    = help: keep one of the two

s.toml:7:79: a rule cannot ask for what is absent
  7 | json = [{ path = "$.a", equals = 1, matches = "1" }, { path = "$.a", exists = false }, { equals = 1 }]
    |                                                                               ^^^^^
    = help: write exists = true, or leave the rule out

s.toml:7:88: missing key 'path' in [probe.p.step.expect.json]
  7 | json = [{ path = "$.a", equals = 1, matches = "1" }, { path = "$.a", exists = false }, { equals = 1 }]
    |                                                                                        ^^^^^^^^^^^^^^
    = help: add path = ...: JSONPath (RFC 9535)

s.toml:8:39: 'equals' and 'exists' exclude each other
  8 | header = [{ name = "a", equals = "x", exists = true }]
    |                                       ^^^^^^
    = help: keep one of the two
"##,
    );
}

#[test]
fn captures_have_one_source_and_a_free_name() {
    check(
        r##"
[probe.p]
service = "shop"
[[probe.p.step]]
get = "/"
[probe.p.step.capture]
secret = { json = "$.a" }
random = { json = "$.a" }
"my-token" = { json = "$.a" }
a = {}
b = { json = "$.a", css = "a" }
c = { attribute = "href" }
d = { status = false }
e = "$.a"
"##,
        r##"
s.toml:6:1: 'secret' means something else in templates
  6 | secret = { json = "$.a" }
    | ^^^^^^
    = help: call it 'my_secret'

s.toml:7:1: 'random' means something else in templates
  7 | random = { json = "$.a" }
    | ^^^^^^
    = help: call it 'my_random'

s.toml:8:1: "my-token" cannot be named in a template
  8 | "my-token" = { json = "$.a" }
    | ^^^^^^^^^^
    = help: a name has letters, digits and '_', and begins with a letter

s.toml:9:5: this captures nothing
  9 | a = {}
    |     ^^
    = help: write one of json, header, cookie, regex, css, status = true

s.toml:10:21: 'json' and 'css' exclude each other
  10 | b = { json = "$.a", css = "a" }
     |                     ^^^
     = help: keep one of the two

s.toml:11:7: an attribute of what?
  11 | c = { attribute = "href" }
     |       ^^^^^^^^^
     = help: add css = "...": the selector of its element

s.toml:12:16: this captures nothing
  12 | d = { status = false }
     |                ^^^^^
     = help: write status = true to keep the status code

s.toml:13:5: expected a table, found a string
  13 | e = "$.a"
     |     ^^^^^
     = help: its keys are json, header, cookie, regex, css, attribute, status
"##,
    );
}

#[test]
fn templates_name_what_is_known_by_then() {
    check(
        r##"
[probe.p]
service = "shop"
[[probe.p.step]]
post = "/{{ token }}"
json = { list = ["{{ random.uid }}", { deep = "{{ tokn }}" }] }
headers = { x-a = "{{ secret }}", x-b = "{{ secret.ok }}", x-c = "{{ random }}" }
capture = { token = { json = "$.token" } }
[[probe.p.step]]
post = "/{{ tokn }}"
form = { a = "{{ token }}", b = "{{ nothing }}" }
expect = { body_contains = "{{ later }}" }
capture = { later = { header = "x-later" }, broken = { json = "x" } }
[[probe.p.step]]
get = "/{{ later }}/{{ broken }}/{{ range(3) }}/{{ random.int(1, 6) }}"
"##,
        r##"
s.toml:4:8: no step before this one captures 'token'
  4 | post = "/{{ token }}"
    |        ^^^^^^^^^^^^^^
    = help: add it to 'capture' of a step above (captured so far: none), or use secret.NAME or random.uuid

s.toml:5:18: there is no 'random.uid'
  5 | json = { list = ["{{ random.uid }}", { deep = "{{ tokn }}" }] }
    |                  ^^^^^^^^^^^^^^^^^^
    = help: did you mean 'random.uuid'?

s.toml:5:47: no step before this one captures 'tokn'
  5 | json = { list = ["{{ random.uid }}", { deep = "{{ tokn }}" }] }
    |                                               ^^^^^^^^^^^^
    = help: add it to 'capture' of a step above (captured so far: none), or use secret.NAME or random.uuid

s.toml:6:19: which secret?
  6 | headers = { x-a = "{{ secret }}", x-b = "{{ secret.ok }}", x-c = "{{ random }}" }
    |                   ^^^^^^^^^^^^^^
    = help: write {{ secret.shop_password }}; its value comes from SERINUS_SECRET_SHOP_PASSWORD

s.toml:6:66: random what?
  6 | headers = { x-a = "{{ secret }}", x-b = "{{ secret.ok }}", x-c = "{{ random }}" }
    |                                                                  ^^^^^^^^^^^^^^
    = help: write random.uuid, random.int(1, 6) or random.hex(16)

s.toml:9:8: no step before this one captures 'tokn'
  9 | post = "/{{ tokn }}"
    |        ^^^^^^^^^^^^^
    = help: did you mean 'token'?

s.toml:10:33: no step before this one captures 'nothing'
  10 | form = { a = "{{ token }}", b = "{{ nothing }}" }
     |                                 ^^^^^^^^^^^^^^^
     = help: add it to 'capture' of a step above (captured so far: token), or use secret.NAME or random.uuid

s.toml:11:28: no step before this one captures 'later'
  11 | expect = { body_contains = "{{ later }}" }
     |                            ^^^^^^^^^^^^^
     = help: add it to 'capture' of a step above (captured so far: token), or use secret.NAME or random.uuid

s.toml:12:63: "x" is not a JSONPath
  12 | capture = { later = { header = "x-later" }, broken = { json = "x" } }
     |                                                               ^^^
     = help: a path begins with '$': "$.x"
"##,
    );
}

#[test]
fn a_probe_watches_a_service_that_is_there() {
    check(
        r##"
[probe.p]
service = "shpo"
host = "http://shop"
step = [{ get = "/" }]
[probe.q]
step = [{ get = "/" }]
"##,
        r##"
s.toml:2:11: there is no service 'shpo'
  2 | service = "shpo"
    |           ^^^^^^
    = help: did you mean 'shop'?

s.toml:3:8: "http://shop" is not a host
  3 | host = "http://shop"
    |        ^^^^^^^^^^^^^
    = help: write it as a browser would send it: "shop.example.com"

s.toml:5:1: missing key 'service' in [probe.q]
  5 | [probe.q]
    | ^^^^^^^^^
    = help: add service = ...: Name of the service that it watches
"##,
    );
}

#[test]
fn what_looks_like_a_mistake_is_a_warning() {
    check(
        r##"
[service.shop.stable]
version = "1"
endpoints = ["app:80"]
[service.shop.canary]
version = "2"
endpoints = ["app:80"]
[service.shop.rollout]
sticky = "none"
stages = [{ weight = 0, hold = "1m" }, { weight = 50, hold = "1m" }]
[service.bag.stable]
endpoints = ["app:80"]
[probe.p]
service = "bag"
timeout = "1s"
[[probe.p.step]]
get = "/"
headers = { Authorization = "Bearer abc", x-a = "b", cookie = "sid={{ secret.sid }}" }
expect = { max_latency = "2s" }
[[probe.p.step]]
submit = { form = "form", fields = { Password = "hunter2" } }
"##,
        r##"
s.toml:6:14: app:80 is both stable and canary
s.toml:8:10: users will see both versions in turn: requests are not sticky
s.toml:9:22: nothing can be seen at weight 0 without a probe: this stage would hold for ever
s.toml:9:51: after the last stage everybody follows at once, from 50%
s.toml:10:10: no route leads to service 'bag'
s.toml:17:29: a secret stands in the file: write authorization = "{{ secret.NAME }}"
s.toml:18:26: the probe's timeout comes first
s.toml:20:49: a password stands in the file: write "{{ secret.NAME }}"
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
