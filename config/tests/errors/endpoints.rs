//! Weights, balancing, health checks, ejection, limits and retries.

use crate::check;

#[test]
fn endpoints_have_weights() {
    check(
        r##"
[service.shop.stable]
endpoints = ["a:1", { address = "b", weight = 3 }, { address = "c:1", weight = 0 }, { weight = 2 }, { address = "d:1", wieght = 2 }, 7]
"##,
        r##"
s.toml:2:33: "b" is not an endpoint
  2 | endpoints = ["a:1", { address = "b", weight = 3 }, { address = "c:1", weight = 0 }, { weight = 2 }, { address = "d:1", wieght = 2 }, 7]
    |                                 ^^^
    = help: add a port: "b:80"

s.toml:2:80: 0 is out of range
  2 | endpoints = ["a:1", { address = "b", weight = 3 }, { address = "c:1", weight = 0 }, { weight = 2 }, { address = "d:1", wieght = 2 }, 7]
    |                                                                                ^
    = help: write one from 1 to 1000

s.toml:2:85: missing key 'address' in [service.shop.stable.endpoints]
  2 | endpoints = ["a:1", { address = "b", weight = 3 }, { address = "c:1", weight = 0 }, { weight = 2 }, { address = "d:1", wieght = 2 }, 7]
    |                                                                                     ^^^^^^^^^^^^^^
    = help: add address = ...: "host:port" of it

s.toml:2:120: unknown key 'wieght' in [service.shop.stable.endpoints]
  2 | endpoints = ["a:1", { address = "b", weight = 3 }, { address = "c:1", weight = 0 }, { weight = 2 }, { address = "d:1", wieght = 2 }, 7]
    |                                                                                                                        ^^^^^^
    = help: did you mean 'weight'?

s.toml:2:134: expected an endpoint, found a whole number
  2 | endpoints = ["a:1", { address = "b", weight = 3 }, { address = "c:1", weight = 0 }, { weight = 2 }, { address = "d:1", wieght = 2 }, 7]
    |                                                                                                                                      ^
    = help: write it in quotes, like "10.0.0.11:9000"
"##,
    );
    check(
        r##"
[service.shop.stable]
endpoints = ["a:1", { address = "a:1" }]
"##,
        r##"
s.toml:2:21: a:1 is here twice: give it a weight instead
"##,
    );
}

#[test]
fn what_is_hashed_is_said_where_something_is() {
    check(
        r##"
[service.shop.stable]
endpoints = ["a:1"]
[service.shop.balance]
method = "least"
panic_threshold = 101
[service.bag]
stable = { endpoints = ["a:1"] }
balance = { hash_by = { cookie = "a" } }
[service.cap]
stable = { endpoints = ["a:1"] }
balance = { method = "hash", hash_by = { cookie = "a", header = "b" } }
[service.hat]
stable = { endpoints = ["a:1"] }
balance = { method = "hash", hash_by = "user" }
[route.a]
service = "shop"
[route.b]
path = "/b"
service = "bag"
[route.c]
path = "/c"
service = "cap"
[route.d]
path = "/d"
service = "hat"
"##,
        r##"
s.toml:4:10: there is no choice "least" here
  4 | method = "least"
    |          ^^^^^^^
    = help: did you mean "least_connections"?

s.toml:5:19: a weight is a percentage from 0 to 100 in steps of 0.01, not 101
  5 | panic_threshold = 101
    |                   ^^^
    = help: 100 is everybody

s.toml:8:13: nothing is hashed with this method
  8 | balance = { hash_by = { cookie = "a" } }
    |             ^^^^^^^
    = help: add method = "hash", or leave it out

s.toml:11:40: one name is needed
  11 | balance = { method = "hash", hash_by = { cookie = "a", header = "b" } }
     |                                        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
     = help: write "client_ip", { header = "x-user-id" } or { cookie = "session" }

s.toml:14:40: there is no choice "user" here
  14 | balance = { method = "hash", hash_by = "user" }
     |                                        ^^^^^^
     = help: write "client_ip", { header = "x-user-id" } or { cookie = "session" }
"##,
    );
}

#[test]
fn checks_ejections_limits_and_retries_make_sense() {
    check(
        r##"
[service.shop.stable]
endpoints = ["a:1"]
[service.shop.health]
interval = "1s"
timeout = "2s"
status = [200, "9xx"]
[service.shop.ejection]
failures = 0
time = "10m"
[service.shop.limits]
max_pending = 5
[service.shop.retry]
attempts = 9
status = [404, 503]
[service.shop.timeouts]
total = "0s"
"##,
        r##"
s.toml:3:1: missing key 'path' in [service.shop.health]
  3 | [service.shop.health]
    | ^^^^^^^^^^^^^^^^^^^^^
    = help: add path = ...: Path to GET

s.toml:5:11: a check would not end before the next one begins
  5 | timeout = "2s"
    |           ^^^^
    = help: make it no longer than interval

s.toml:6:16: "9xx" is no range of status codes
  6 | status = [200, "9xx"]
    |                ^^^^^
    = help: write a status code, 200, a class, "2xx", a range, "200-299", or several, [200, 302]

s.toml:8:12: 0 is out of range
  8 | failures = 0
    |            ^
    = help: write one from 1 to 10000

s.toml:9:8: max_time is shorter than the first ejection
  9 | time = "10m"
    |        ^^^^^
    = help: make it as long as time, or longer

s.toml:11:1: nobody waits where there is no limit
  11 | max_pending = 5
     | ^^^^^^^^^^^
     = help: add max_connections, or leave it out

s.toml:13:12: 9 is out of range
  13 | attempts = 9
     |            ^
     = help: write one from 1 to 5

s.toml:14:10: 404 is no failure of an endpoint
  14 | status = [404, 503]
     |          ^^^^^^^^^^
     = help: write some of [500, 502, 503, 504]

s.toml:16:9: this duration cannot be zero
  16 | total = "0s"
     |         ^^^^
     = help: write a longer one, like "1s"
"##,
    );
}
