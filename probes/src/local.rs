//! What a variant uses that runs on this machine: its cgroup (v2), or a process with its children.
//!
//! Reads a few small files of the kernel; what is not there is none.

use crate::exposition::ProcessFigures;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// The kernel tells times of processes in hundredths of a second, whatever its own clock (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;
/// No file of the kernel that is read here is longer, in bytes.
const LONGEST: u64 = 256 << 10;
/// More processes than this are not looked at.
const MOST_PROCESSES: usize = 4096;

/// All processes of a cgroup together. Its memory is what cannot be given back at once: without the page
/// cache that has not been used lately.
pub(crate) fn cgroup(folder: &Path) -> Option<ProcessFigures> {
    let cpu = text(&folder.join("cpu.stat"));
    let cpu = cpu.as_deref().and_then(|text| field(text, "usage_usec "));
    let used = text(&folder.join("memory.current")).and_then(|text| number(&text));
    let stat = text(&folder.join("memory.stat"));
    let idle = stat.as_deref().and_then(|text| field(text, "inactive_file ")).unwrap_or(0.0);
    // The oldest process is the one that started the others; where it is another one, all began anew.
    let processes = text(&folder.join("cgroup.procs")).unwrap_or_default();
    let started = processes.lines().take(MOST_PROCESSES).filter_map(|id| process_of(id)?.started);
    let figures = ProcessFigures {
        cpu_series: BTreeMap::new(),
        cpu_seconds: cpu.map(|micros| micros / 1e6),
        memory_bytes: used.map(|used| (used - idle).max(0.0)),
        started: started.reduce(f64::min),
        network_bytes: None,
    };
    (figures != ProcessFigures::default()).then_some(figures)
}

/// The process that a file names, with all its children.
pub(crate) fn process(pid_file: &Path) -> Option<ProcessFigures> {
    let root: u32 = text(pid_file)?.trim().parse().ok()?;
    let first = process_of(&root.to_string())?;
    let mut figures = ProcessFigures { cpu_seconds: Some(0.0), memory_bytes: Some(0.0), ..first };
    let mut seen = BTreeSet::from([root]);
    let mut waiting = vec![root];
    while let Some(id) = waiting.pop() {
        // One that has ended meanwhile: its time is among that of its parent's ended children.
        let Some(one) = process_of(&id.to_string()) else { continue };
        let add = |sum: Option<f64>, more: Option<f64>| Some(sum? + more?);
        figures.cpu_seconds = add(figures.cpu_seconds, one.cpu_seconds);
        figures.memory_bytes = add(figures.memory_bytes, one.memory_bytes);
        let children = children(id)
            .into_iter()
            .filter(|child| seen.len() < MOST_PROCESSES && seen.insert(*child));
        waiting.extend(children.collect::<Vec<_>>());
    }
    Some(figures)
}

/// One process without its living children.
fn process_of(id: &str) -> Option<ProcessFigures> {
    let folder = Path::new("/proc").join(id.trim());
    let stat = text(&folder.join("stat"))?;
    // The name of the program, in brackets, may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    // Field 3, the state, is the first after the name.
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    let ticks = field(14)? + field(15)? + field(16)? + field(17)?;
    let status = text(&folder.join("status"));
    let resident = status.as_deref().and_then(|text| self::field(text, "VmRSS:"));
    Some(ProcessFigures {
        cpu_series: BTreeMap::new(),
        cpu_seconds: Some(ticks / TICKS_PER_SECOND),
        memory_bytes: resident.map(|kib| kib * 1024.0),
        // Since the machine's start: only compared with itself.
        started: field(22).map(|ticks| ticks / TICKS_PER_SECOND),
        network_bytes: None,
    })
}

fn children(id: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{id}/task")) else { return Vec::new() };
    let lists = threads.flatten().filter_map(|thread| text(&thread.path().join("children")));
    lists
        .flat_map(|list| list.split_ascii_whitespace().map(str::parse).collect::<Vec<_>>())
        .flatten()
        .collect()
}

/// The number behind a name at the start of a line.
fn field(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| number(line.strip_prefix(name)?))
}

/// The first word as a number.
fn number(text: &str) -> Option<f64> {
    text.split_ascii_whitespace().next()?.parse().ok().filter(|number: &f64| number.is_finite())
}

fn text(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(LONGEST).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::process::{Child, Command, Stdio};

    fn folder(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("serinus-local-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_cgroup_tells_cpu_and_memory_without_idle_page_cache() {
        let folder = folder("cgroup");
        fs::write(folder.join("cpu.stat"), "usage_usec 2500000\nuser_usec 1\n").unwrap();
        fs::write(folder.join("memory.current"), "1000\n").unwrap();
        fs::write(folder.join("memory.stat"), "anon 1\ninactive_file 300\n").unwrap();
        fs::write(folder.join("cgroup.procs"), format!("{}\n", std::process::id())).unwrap();
        let told = cgroup(&folder).unwrap();
        assert_eq!((told.cpu_seconds, told.memory_bytes), (Some(2.5), Some(700.0)));
        assert!(told.started.is_some_and(|started| started > 0.0), "{told:?}");
        fs::remove_file(folder.join("memory.current")).unwrap();
        assert_eq!(cgroup(&folder).unwrap().memory_bytes, None, "unknown, not zero");
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(cgroup(&folder), None);
    }

    /// A shell with a child that burns CPU, ended with the test.
    struct Burner(Child);

    impl Drop for Burner {
        fn drop(&mut self) {
            // Its input closes, and with it the child's reason to live.
            drop(self.0.stdin.take());
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_process_is_told_with_its_children_until_it_is_gone() {
        let script = "sh -c 'while :; do :; done' & child=$!; read _; kill $child; wait";
        let child = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap();
        let burner = Burner(child);
        let folder = folder("pid");
        let file = folder.join("app.pid");
        fs::write(&file, format!("{}\n", burner.0.id())).unwrap();
        let patience = std::time::Instant::now() + std::time::Duration::from_secs(60);
        // The shell itself only waits: what rises is its child's.
        while process(&file).unwrap().cpu_seconds < Some(0.1) {
            assert!(std::time::Instant::now() < patience, "the child's CPU is not seen");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let told = process(&file).unwrap();
        assert!(told.memory_bytes > Some(1e5) && told.started > Some(0.0), "{told:?}");
        drop(burner);
        assert_eq!(process(&file), None, "gone is unknown");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_file_without_a_process_tells_nothing() {
        let folder = folder("none");
        for text in ["", "x", "-1", "4294967295"] {
            fs::write(folder.join("app.pid"), text).unwrap();
            assert_eq!(process(&folder.join("app.pid")), None, "{text}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
