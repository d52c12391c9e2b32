//! Where it is read what processes use.

use crate::check;

#[test]
fn resources_are_told_in_one_way_for_each_variant() {
    check(
        r##"
[service.shop.stable]
endpoints = ["app:80"]
[service.shop.resources]
cgroup = { stable = "/sys/fs/cgroup/shop" }
pid_file = { stable = "/run/shop.pid", canry = "x" }
[service.shop.resources.names]
cpu = "cpu{mode=\"user\"}"
[service.bag.stable]
endpoints = ["app:80"]
[service.bag.resources]
cgroup = { canary = "a" }
pid_file = { canary = "b" }
"##,
        r##"
s.toml:5:1: this variant has a cgroup already
  5 | pid_file = { stable = "/run/shop.pid", canry = "x" }
    | ^^^^^^^^
    = help: name a cgroup or a pid_file for a variant, not both

s.toml:5:40: unknown key 'canry' in [service.shop.resources.pid_file]
  5 | pid_file = { stable = "/run/shop.pid", canry = "x" }
    |                                        ^^^^^
    = help: did you mean 'canary'?

s.toml:7:7: "cpu{mode=\"user\"}" cannot be the name of a series
  7 | cpu = "cpu{mode=\"user\"}"
    |       ^^^^^^^^^^^^^^^^^^^^
    = help: write the name alone, without labels: "process_cpu_seconds_total"

s.toml:12:1: this variant has a cgroup already
  12 | pid_file = { canary = "b" }
     | ^^^^^^^^
     = help: name a cgroup or a pid_file for a variant, not both
"##,
    );
}
