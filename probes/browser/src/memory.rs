//! What the browser uses: the memory of all processes of this group, each page of it counted once.

use rustix::process::{getpgrp, getpid};
use std::fs;
use std::time::Duration;
use tokio::time::sleep;

const EVERY: Duration = Duration::from_millis(500);

/// Ends once the group uses more than `most` bytes; says how many.
pub(crate) async fn beyond(most: u64) -> u64 {
    loop {
        sleep(EVERY).await;
        let used = tokio::task::spawn_blocking(used).await.unwrap_or(0);
        if used > most {
            return used;
        }
    }
}

fn used() -> u64 {
    let (group, own) = (getpgrp().as_raw_nonzero().get(), getpid().as_raw_nonzero().get());
    let Ok(folders) = fs::read_dir("/proc") else { return 0 };
    folders
        .flatten()
        .filter_map(|folder| folder.file_name().to_str()?.parse::<i32>().ok())
        .filter(|id| *id != own && group_of(*id) == Some(group))
        .filter_map(share)
        .sum()
}

fn group_of(id: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // After the name in brackets: state, parent, group.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(2)?.parse().ok()
}

/// Resident bytes, those that are shared with others by halves, thirds and so on.
fn share(id: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_ascii_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}
