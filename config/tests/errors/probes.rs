//! Probes as a whole: whom they watch, what they leave behind, and browsers.

use crate::check;

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
fn rows_side_effects_seasons_and_signatures_are_checked() {
    check(
        r##"
[probing]
concurrency = 0
sign_with = "{{ secret.key }}"
[probe.p]
service = "shop"
side_effect = "chargse"
seasons = [{ hours = "8", rate = 2 }, { days = "mon-fir", rate = 0 }]
max_body = 1
[[probe.p.step]]
get = "/{{ row.user }}"
timeout = "0s"
[probe.q]
service = "shop"
side_effect = "charges"
data = "users.csv"
[[probe.q.step]]
get = "/{{ row }}"
expect = { same_as_stable = true }
"##,
        r##"
s.toml:2:15: 0 is out of range
  2 | concurrency = 0
    |               ^
    = help: write one from 1 to 10000

s.toml:3:13: "{{ secret.key }}" cannot be the name of a secret
  3 | sign_with = "{{ secret.key }}"
    |             ^^^^^^^^^^^^^^^^^^
    = help: write the name alone: "probe_key"; its value comes from SERINUS_SECRET_PROBE_KEY

s.toml:6:15: there is no choice "chargse" here
  6 | side_effect = "chargse"
    |               ^^^^^^^^^
    = help: did you mean "charges"?

s.toml:7:22: "8" are no hours
  7 | seasons = [{ hours = "8", rate = 2 }, { days = "mon-fir", rate = 0 }]
    |                      ^^^
    = help: write from and to, UTC: "08-18", or "22-06" past midnight

s.toml:7:48: there is no choice "fir" here
  7 | seasons = [{ hours = "8", rate = 2 }, { days = "mon-fir", rate = 0 }]
    |                                                ^^^^^^^^^
    = help: did you mean "fri"?

s.toml:8:12: 1 is out of range
  8 | max_body = 1
    |            ^
    = help: write one from 1024 to 67108864

s.toml:10:7: this probe has no rows
  10 | get = "/{{ row.user }}"
     |       ^^^^^^^^^^^^^^^^^
     = help: add data = "FILE.csv" (or .json) to it

s.toml:11:11: this duration cannot be zero
  11 | timeout = "0s"
     |           ^^^^
     = help: write a longer one, like "1s"

s.toml:14:15: same_as_stable asks stable a second time where the answers differ
  14 | side_effect = "charges"
     |               ^^^^^^^^^
     = help: a journey that charges is never repeated: compare with rules instead

s.toml:17:7: which column of the row?
  17 | get = "/{{ row }}"
     |       ^^^^^^^^^^^^
     = help: write {{ row.user }}
"##,
    );
}

#[test]
fn a_journey_that_charges_is_not_compared_by_asking_again() {
    check(
        r##"
[probe.q]
service = "shop"
side_effect = "charges"
[[probe.q.step]]
get = "/"
expect = { same_as_stable = true }
"##,
        r##"
s.toml:3:15: same_as_stable asks stable a second time where the answers differ
  3 | side_effect = "charges"
    |               ^^^^^^^^^
    = help: a journey that charges is never repeated: compare with rules instead
"##,
    );
}

#[test]
fn a_browser_plays_a_recording_and_nothing_else() {
    check(
        r##"
[probing.browser]
max_memory = "1MiB"
chromuim = "/usr/bin/chromium"
[probe.p]
service = "shop"
browser = "recording.json"
interval = "5s"
max_body = 4096
[[probe.p.step]]
get = "/"
"##,
        r##"
s.toml:2:14: "1MiB" is out of range
  2 | max_memory = "1MiB"
    |              ^^^^^^
    = help: write one from 128MiB to 64GiB

s.toml:3:1: unknown key 'chromuim' in [probing.browser]
  3 | chromuim = "/usr/bin/chromium"
    | ^^^^^^^^
    = help: did you mean 'chromium'?

s.toml:7:12: a browser cannot come that often: it takes seconds of a core to begin
  7 | interval = "5s"
    |            ^^^^
    = help: write "10s" or more; "1m" is usual

s.toml:8:1: a browser knows no limit for a body
  8 | max_body = 4096
    | ^^^^^^^^
    = help: take it out: a browser reads what a page asks for, within probing.browser.max_memory

s.toml:9:11: a probe has steps or a browser, not both
  9 | [[probe.p.step]]
    |           ^^^^
    = help: keep one of them: a recording has its own steps
"##,
    );
}
