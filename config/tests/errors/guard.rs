//! What routes ask of requests.

use crate::check;

#[test]
fn rates_can_be_earned() {
    check(
        r##"
[route.all]
service = "shop"
limits = { body = "2TiB", rate = [{ per = "1s" }, { requests = 0 }, { requests = 1, per = "2h" }, { requests = 1, per = "1h", burst = 100 }, { requests = 5, by = "user" }] }
"##,
        r##"
s.toml:3:19: "2TiB" is not a size
  3 | limits = { body = "2TiB", rate = [{ per = "1s" }, { requests = 0 }, { requests = 1, per = "2h" }, { requests = 1, per = "1h", burst = 100 }, { requests = 5, by = "user" }] }
    |                   ^^^^^^
    = help: write a number and a unit: "512B", "64KiB", "10MiB" or "1GiB"

s.toml:3:35: missing key 'requests' in [route.all.limits.rate]
  3 | limits = { body = "2TiB", rate = [{ per = "1s" }, { requests = 0 }, { requests = 1, per = "2h" }, { requests = 1, per = "1h", burst = 100 }, { requests = 5, by = "user" }] }
    |                                   ^^^^^^^^^^^^^^
    = help: add requests = ...: So many requests

s.toml:3:64: 0 is out of range
  3 | limits = { body = "2TiB", rate = [{ per = "1s" }, { requests = 0 }, { requests = 1, per = "2h" }, { requests = 1, per = "1h", burst = 100 }, { requests = 5, by = "user" }] }
    |                                                                ^
    = help: write one from 1 to 1000000

s.toml:3:91: a rate is counted over an hour at most
  3 | limits = { body = "2TiB", rate = [{ per = "1s" }, { requests = 0 }, { requests = 1, per = "2h" }, { requests = 1, per = "1h", burst = 100 }, { requests = 5, by = "user" }] }
    |                                                                                           ^^^^
    = help: write "1h" or less

s.toml:3:135: at this rate a burst of 100 is not earned in three days
  3 | limits = { body = "2TiB", rate = [{ per = "1s" }, { requests = 0 }, { requests = 1, per = "2h" }, { requests = 1, per = "1h", burst = 100 }, { requests = 5, by = "user" }] }
    |                                                                                                                                       ^^^
    = help: write a smaller burst

s.toml:3:163: there is no choice "user" here
  3 | limits = { body = "2TiB", rate = [{ per = "1s" }, { requests = 0 }, { requests = 1, per = "2h" }, { requests = 1, per = "1h", burst = 100 }, { requests = 5, by = "user" }] }
    |                                                                                                                                                                   ^^^^^^
    = help: write "client" or "route"
"##,
    );
}

#[test]
fn passwords_are_hashes_and_never_shown() {
    check(
        r##"
[route.all]
service = "shop"
[route.all.access]
allow = []
[route.all.access.basic]
realm = "\"staff\""
[route.all.access.basic.users]
"a:b" = "$2y$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"
alice = "hunter2"
bob = "$2y$20$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"
"##,
        r##"
s.toml:4:9: nobody may come
  4 | allow = []
    |         ^^
    = help: leave out 'allow' to let everybody come

s.toml:6:9: "\"staff\"" cannot be a realm
  6 | realm = "\"staff\""
    |         ^^^^^^^^^^^
    = help: write a few words in ASCII, without quotes and backslashes

s.toml:8:1: "a:b" cannot be a user name
  8 | "a:b" = "$2y$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"
    | ^^^^^
    = help: a user name has no colon and no control characters

s.toml:9:9: this is no bcrypt hash
  9 | alice = "hunter2"
    |         ^^^^^^^^^
    = help: make one with `htpasswd -nB NAME`, and write what follows the colon

s.toml:10:7: a bcrypt hash of cost 20
  10 | bob = "$2y$20$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"
     |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
     = help: use a cost from 4 to 14: 10 takes a twentieth of a second
"##,
    );
}

#[test]
fn whoever_is_asked_has_an_address() {
    check(
        r##"
[route.a]
service = "shop"
access = { forward = { url = "https://auth.internal/check" } }
[route.b]
path_prefix = "/b"
service = "shop"
access = { forward = { url = "http://auth.internal/check", copy = ["x user"] } }
[route.c]
path_prefix = "/c"
service = "shop"
access = { basic = { users = {} } }
"##,
        r##"
s.toml:3:30: "https://auth.internal/check" cannot be asked
  3 | access = { forward = { url = "https://auth.internal/check" } }
    |                              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    = help: write it with its port: "http://127.0.0.1:4180/auth"

s.toml:7:30: "http://auth.internal/check" is not a URL with host and port
  7 | access = { forward = { url = "http://auth.internal/check", copy = ["x user"] } }
    |                              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    = help: write it with its port: "http://127.0.0.1:4180/auth"

s.toml:7:68: "x user" cannot be the name of a header
  7 | access = { forward = { url = "http://auth.internal/check", copy = ["x user"] } }
    |                                                                    ^^^^^^^^
    = help: write the name alone, without colon and spaces: "x-user-id"

s.toml:11:30: there is no user
  11 | access = { basic = { users = {} } }
     |                              ^^
     = help: write { NAME = "$2y$..." }
"##,
    );
}

#[test]
fn other_origins_and_compression_are_named() {
    check(
        r##"
[route.a]
service = "shop"
cors = { origins = ["https://Shop.example.com/", "*"], methods = ["put"] }
compression = { algorithms = ["deflate"], level = 11 }
[route.b]
path_prefix = "/b"
service = "shop"
cors = { origins = ["*"], credentials = true }
compression = { algorithms = [] }
[route.c]
path_prefix = "/c"
service = "shop"
cors = { origins = ["*", "https://a.test"] }
"##,
        r##"
s.toml:3:21: "https://Shop.example.com/" is not an origin
  3 | cors = { origins = ["https://Shop.example.com/", "*"], methods = ["put"] }
    |                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^
    = help: write it as browsers do, in lower case and without a path: "https://shop.example.com"

s.toml:3:67: "put" is not a method
  3 | cors = { origins = ["https://Shop.example.com/", "*"], methods = ["put"] }
    |                                                                   ^^^^^
    = help: write "PUT"

s.toml:4:31: there is no choice "deflate" here
  4 | compression = { algorithms = ["deflate"], level = 11 }
    |                               ^^^^^^^^^
    = help: write "zstd" or "br" or "gzip"

s.toml:4:51: 11 is out of range
  4 | compression = { algorithms = ["deflate"], level = 11 }
    |                                                   ^^
    = help: write one from 1 to 9

s.toml:8:21: with credentials, every page on the web could act as its visitor
  8 | cors = { origins = ["*"], credentials = true }
    |                     ^^^
    = help: name the origins, or leave out 'credentials'

s.toml:9:30: there is no algorithm
  9 | compression = { algorithms = [] }
    |                              ^^
    = help: leave out [route.NAME.compression] to compress nothing

s.toml:13:21: "*" is every origin
  13 | cors = { origins = ["*", "https://a.test"] }
     |                     ^^^
     = help: keep ["*"] alone, or the others
"##,
    );
}
