//! Limits, screening and identity of listeners.

use crate::check;

#[test]
fn sizes_have_units_and_bounds() {
    check(
        r##"
[listener.web]
address = "0.0.0.0:8080"
[listener.web.limits]
header = 4096
fields = 1000
target = "8k"
body_timeout = "0s"
connections_per_client = 0
"##,
        r##"
s.toml:4:10: expected a size, found a whole number
  4 | header = 4096
    |          ^^^^
    = help: add a unit: "4096B"

s.toml:5:10: 1000 is out of range
  5 | fields = 1000
    |          ^^^^
    = help: write one from 4 to 256

s.toml:6:10: "8k" is not a size
  6 | target = "8k"
    |          ^^^^
    = help: write a number and a unit: "512B", "64KiB", "10MiB" or "1GiB"

s.toml:7:16: this duration cannot be zero
  7 | body_timeout = "0s"
    |                ^^^^
    = help: write a longer one, like "1s"

s.toml:8:26: 0 is out of range
  8 | connections_per_client = 0
    |                          ^
    = help: write one from 1 to 1000000
"##,
    );
    check(
        r##"
[listener.web]
address = "0.0.0.0:8080"
limits = { header = "1MiB", send_timeout = "1s" }
"##,
        r##"
s.toml:3:21: "1MiB" is out of range
  3 | limits = { header = "1MiB", send_timeout = "1s" }
    |                     ^^^^^^
    = help: write one from 512B to 256KiB
"##,
    );
}

#[test]
fn screening_has_choices() {
    check(
        r##"
[listener.web]
address = "0.0.0.0:8080"
screening = { paths = "normalise", underscores = "keep", encoded_slashes = "no" }
"##,
        r##"
s.toml:3:23: there is no choice "normalise" here
  3 | screening = { paths = "normalise", underscores = "keep", encoded_slashes = "no" }
    |                       ^^^^^^^^^^^
    = help: did you mean "normalize"?

s.toml:3:50: there is no choice "keep" here
  3 | screening = { paths = "normalise", underscores = "keep", encoded_slashes = "no" }
    |                                                  ^^^^^^
    = help: write "drop" or "reject" or "pass"

s.toml:3:76: expected true or false, found a string
  3 | screening = { paths = "normalise", underscores = "keep", encoded_slashes = "no" }
    |                                                                            ^^^^
    = help: write true or false, without quotes
"##,
    );
}

#[test]
fn networks_are_exact_and_a_proxy_header_needs_somebody_to_trust() {
    check(
        r##"
[listener.a]
address = "0.0.0.0:8080"
identity = { trusted_proxies = ["10.0.0.1/8", "10.0.0.0/33", "proxy.internal"] }
[listener.b]
address = "0.0.0.0:8081"
identity = { proxy_protocol = true, request_id = true, trace_context = true }
"##,
        r##"
s.toml:3:33: "10.0.0.1/8" is an address within a network
  3 | identity = { trusted_proxies = ["10.0.0.1/8", "10.0.0.0/33", "proxy.internal"] }
    |                                 ^^^^^^^^^^^^
    = help: write "10.0.0.0/8"

s.toml:3:47: "10.0.0.0/33" is not a network
  3 | identity = { trusted_proxies = ["10.0.0.1/8", "10.0.0.0/33", "proxy.internal"] }
    |                                               ^^^^^^^^^^^^^
    = help: write an address or a range: "192.0.2.1", "10.0.0.0/8", "2001:db8::/32"

s.toml:3:62: "proxy.internal" is not a network
  3 | identity = { trusted_proxies = ["10.0.0.1/8", "10.0.0.0/33", "proxy.internal"] }
    |                                                              ^^^^^^^^^^^^^^^^
    = help: write an address or a range: "192.0.2.1", "10.0.0.0/8", "2001:db8::/32"

s.toml:6:31: a PROXY header is believed from trusted proxies only, and there are none
  6 | identity = { proxy_protocol = true, request_id = true, trace_context = true }
    |                               ^^^^
    = help: add trusted_proxies = ["10.0.0.0/8"] with the addresses of the proxies in front
"##,
    );
}

#[test]
fn the_access_log_has_fields_that_there_are() {
    check(
        r##"
[log]
access = true
access_format = "clf"
access_fields = ["time", "agent"]
access_sample = 101
"##,
        r##"
s.toml:3:17: there is no choice "clf" here
  3 | access_format = "clf"
    |                 ^^^^^
    = help: write "json" or "combined"

s.toml:4:26: there is no choice "agent" here
  4 | access_fields = ["time", "agent"]
    |                          ^^^^^^^
    = help: write "time" or "client" or "method" or "host" or "path" or "protocol" or "status" or "rejected" or "route" or "variant" or "endpoint" or "shielded" or "duration_ms" or "bytes" or "tls" or "client_gone" or "user_agent" or "referer" or "request_id" or "trace_id"

s.toml:5:17: a weight is a percentage from 0 to 100 in steps of 0.01, not 101
  5 | access_sample = 101
    |                 ^^^
    = help: 100 is everybody
"##,
    );
}

#[test]
fn the_combined_format_has_its_own_fields() {
    check(
        r##"
[log]
access = true
access_format = "combined"
access_fields = ["time"]
"##,
        r##"
s.toml:4:1: the combined format has its own fields
  4 | access_fields = ["time"]
    | ^^^^^^^^^^^^^
    = help: leave out 'access_fields', or write access_format = "json"
"##,
    );
}
