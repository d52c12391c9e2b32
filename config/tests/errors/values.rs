//! Values of the wrong type, out of range, or in the wrong order.

use crate::check;

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
    = help: its keys are version, endpoints, tls, protocol

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
ramp_limit = "31s"
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

s.toml:7:14: too long for users on the way back
  7 | ramp_limit = "31s"
    |              ^^^^^
    = help: write "30s" or less; users wait on a canary that fails
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
