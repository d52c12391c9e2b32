//! The thread that asks the CA: one name after the other, each when it is due.

use super::issue::Attempt;
use super::progress::{NameStatus, Progress, written};
use super::schedule::{pause_after, renew_at};
use super::store::{Attempts, Store};
use crate::data_path::{Chain, DataPath};
use anyhow::Context;
use serinus_config::{AcmeSettings, Settings};
use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Longest time between two looks at the clock, which may have been set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(600);
/// The longest wait that a CA may ask for.
const LONGEST_WAIT: u64 = 7 * 86_400;

/// A handle to the thread; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Agent {
    data_path: DataPath,
    progress: Arc<Progress>,
    /// None until there is something to ask for.
    running: Option<(UnboundedSender<Order>, JoinHandle<()>)>,
}

/// What the thread is told.
#[derive(Debug)]
enum Order {
    /// This is to be done from now on.
    Work(Work),
    /// An operator wants a new certificate now, whatever is there and whatever failed.
    Renew(String),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Work {
    ca: Option<(AcmeSettings, PathBuf)>,
    names: Vec<String>,
}

impl Agent {
    /// Asks nobody yet.
    pub(crate) fn new(data_path: DataPath, progress: Arc<Progress>) -> Agent {
        Agent { data_path, progress, running: None }
    }

    /// Asks for what `settings` want from now on: listeners must be open, since the CA will look.
    pub(crate) fn apply(&mut self, settings: &Settings) {
        let work = Work::of(settings);
        if self.running.is_none() && !work.names.is_empty() {
            match self.start() {
                Ok(running) => self.running = Some(running),
                Err(error) => tracing::error!("certificates are not asked for: {error:#}"),
            }
        }
        if let Some((orders, _)) = &self.running {
            // It ends only with this handle.
            let _ = orders.send(Order::Work(work));
        }
    }

    /// Asks for a new certificate now. False where nobody asks for this name.
    pub(crate) fn renew(&self, name: &str) -> bool {
        let is_known = self.progress.names().iter().any(|status| status.name == name);
        let order = || Order::Renew(name.to_owned());
        is_known && self.running.as_ref().is_some_and(|(orders, _)| orders.send(order()).is_ok())
    }

    fn start(&self) -> anyhow::Result<(UnboundedSender<Order>, JoinHandle<()>)> {
        let (orders, inbox) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let worker = Worker {
            data_path: self.data_path.clone(),
            progress: Arc::clone(&self.progress),
            inbox,
            waiting: VecDeque::new(),
            work: Work::default(),
            wanted_now: BTreeSet::new(),
        };
        let thread = std::thread::Builder::new()
            .name("acme".into())
            .spawn(move || {
                runtime.block_on(worker.run());
                runtime.shutdown_background(); // a name that is looked up is not waited for
            })
            .context("cannot start a thread")?;
        Ok((orders, thread))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some((orders, thread)) = self.running.take() {
            drop(orders);
            // Its panic, if any, was reported by the panic hook.
            let _ = thread.join();
        }
    }
}

impl Work {
    fn of(settings: &Settings) -> Work {
        let mut names: Vec<String> = Vec::new();
        for name in settings.listeners.iter().flat_map(|listener| &listener.acme) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        let state_dir = settings.server.state_dir.clone();
        Work { ca: settings.acme.clone().map(|acme| (acme, state_dir)), names }
    }
}

/// What lives on the thread.
struct Worker {
    data_path: DataPath,
    progress: Arc<Progress>,
    inbox: UnboundedReceiver<Order>,
    /// Orders that came during an attempt.
    waiting: VecDeque<Order>,
    work: Work,
    /// Names that an operator wants now.
    wanted_now: BTreeSet<String>,
}

impl Worker {
    /// Until the handle is gone.
    async fn run(mut self) {
        loop {
            while let Some(order) = self.waiting.pop_front() {
                self.take(order);
            }
            let due = self.look();
            let pause = match &due {
                Some((_, at)) => Duration::from_secs(u64::try_from(at - now()).unwrap_or(0)),
                None => LONGEST_SLEEP,
            };
            match due {
                Some((name, _)) if pause.is_zero() => {
                    if !self.attempt(&name).await {
                        return;
                    }
                }
                _ => {
                    let order = tokio::time::timeout(pause.min(LONGEST_SLEEP), self.inbox.recv());
                    match order.await {
                        Ok(Some(order)) => self.take(order),
                        Ok(None) => return,
                        Err(_) => {} // time has passed
                    }
                }
            }
        }
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Work(work) => self.work = work,
            Order::Renew(name) => drop(self.wanted_now.insert(name)),
        }
    }

    /// Shows how everything stands; the name that is due first, and when.
    fn look(&mut self) -> Option<(String, i64)> {
        let Some((settings, state_dir)) = &self.work.ca else {
            self.progress.show(Vec::new());
            return None;
        };
        let store = Store::of(state_dir, settings);
        let names: Vec<NameStatus> =
            self.work.names.iter().map(|name| status(&store, name)).collect();
        self.wanted_now.retain(|name| self.work.names.contains(name));
        let when = |status: &NameStatus| match self.wanted_now.contains(&status.name) {
            true => 0,
            false => status.next,
        };
        let first = names.iter().min_by_key(|status| when(status));
        let first = first.map(|status| (status.name.clone(), when(status)));
        self.progress.show(names);
        first
    }

    /// False if the handle is gone meanwhile.
    async fn attempt(&mut self, name: &str) -> bool {
        self.wanted_now.remove(name);
        let Some((settings, state_dir)) = self.work.ca.clone() else { return true };
        let store = Store::of(&state_dir, &settings);
        let before = store.attempts(name);
        let wait = Arc::new(AtomicU64::new(0));
        let failed = |why: String| {
            let failures = before.failures.saturating_add(1);
            let asked = wait.load(Ordering::Relaxed).min(LONGEST_WAIT);
            let pause = pause_after(failures, fastrand::f64()).as_secs().max(asked);
            Attempts { failures, last: now(), next: now() + pause as i64, why }
        };
        // Whatever happens to this process meanwhile, the next one knows.
        let begun = failed("it was not finished".to_owned());
        if let Err(error) = store.keep_attempts(name, &begun) {
            tracing::error!(name, %error, "no certificate is asked for: the state directory cannot be written");
            return self.pause(LONGEST_SLEEP).await;
        }
        tracing::info!(name, ca = settings.directory, "asking the CA for a certificate");
        let challenges = Arc::clone(self.data_path.challenges());
        let attempt = Attempt {
            settings: &settings,
            store: &store,
            challenges: &challenges,
            wait: Arc::clone(&wait),
        };
        let result = {
            let attempt = attempt.run(name);
            tokio::pin!(attempt);
            loop {
                tokio::select! {
                    result = &mut attempt => break result,
                    order = self.inbox.recv() => match order {
                        Some(order) => self.waiting.push_back(order),
                        None => return false,
                    }
                }
            }
        };
        let result = result.and_then(|issued| {
            store
                .keep_certificate(name, &issued.key, &issued.chain)
                .context("the certificate cannot be written")?;
            Chain::read_issued(&store.certificate(name), name).map(Arc::new)
        });
        match result {
            Ok(chain) => {
                store.forget_attempts(name);
                self.progress.count(true);
                tracing::info!(
                    name,
                    until = written(chain.not_after()),
                    "the CA issued a certificate"
                );
                self.data_path.show_issued(name, &chain);
            }
            Err(error) => {
                self.progress.count(false);
                let attempts = failed(format!("{error:#}"));
                tracing::error!(
                    name,
                    failures = attempts.failures,
                    next = written(attempts.next),
                    "no certificate: {error:#}"
                );
                if let Err(error) = store.keep_attempts(name, &attempts) {
                    tracing::error!(name, %error, "the state directory cannot be written");
                }
            }
        }
        true
    }

    /// Waits, or until something is ordered. False if the handle is gone meanwhile.
    async fn pause(&mut self, pause: Duration) -> bool {
        match tokio::time::timeout(pause, self.inbox.recv()).await {
            Ok(Some(order)) => self.waiting.push_back(order),
            Ok(None) => return false,
            Err(_) => {}
        }
        true
    }
}

/// How it stands with a name, by what is on the disk.
fn status(store: &Store, name: &str) -> NameStatus {
    let chain = Chain::read_issued(&store.certificate(name), name).ok();
    let attempts = store.attempts(name);
    let due = chain.as_ref().map_or(0, |chain| {
        let (from, to) = chain.validity();
        renew_at(from, to, chain.dice())
    });
    NameStatus {
        name: name.to_owned(),
        not_after: chain.as_ref().map(Chain::not_after),
        next: due.max(attempts.next),
        failures: attempts.failures,
        why: (attempts.failures > 0).then_some(attempts.why),
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}
