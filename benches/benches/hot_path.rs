//! Nanoseconds of what Serinus adds to every request: the route table's load, the match, the cohort
//! and the record. Alone, and while another thread does the same to the same cells.

#![expect(clippy::expect_used, reason = "the set-up of a benchmark")]

use arc_swap::{ArcSwap, Cache};
use criterion::{Criterion, criterion_group, criterion_main};
use serinus::data_path::recorder::{Ending, Recorder, Totals};
use serinus::data_path::shards::Shard;
use serinus_routing::{
    Asked, Bucket, CohortSeed, Conditions, PathMatch, Pool, RouteSpec, RouteTable, Service,
    ServiceIndex, Sticky, Target, Variant, Weight,
};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn table(routes: usize) -> RouteTable {
    let pool = |version: &str| Pool {
        version: version.into(),
        endpoints: [Arc::from("127.0.0.1:9000")].into(),
    };
    let specs: Vec<RouteSpec> = (0..routes)
        .map(|number| RouteSpec {
            name: format!("route-{number}"),
            hosts: vec![format!("shop-{number}.example.com")],
            path: PathMatch::Prefix("/api".into()),
            conditions: Conditions::default(),
            target: Target::service(ServiceIndex(0)),
        })
        .collect();
    let shop = Service {
        name: "shop".into(),
        stable: pool("1.8.2"),
        canary: Some(pool("1.9.0")),
        weight: Weight::from_percent(10.0).expect("a percentage"),
        sticky: Sticky::Cookie,
        shield: true,
        expose_variant_header: false,
    };
    RouteTable::new(&specs, vec![shop]).expect("hosts of their own")
}

fn recorder(threads: usize) -> Recorder {
    let names = ("shop".into(), "checkout".into());
    Recorder::new(0, names, Variant::Canary, "1.9.0".into(), threads, Totals::default())
}

fn routing(criterion: &mut Criterion) {
    let published = ArcSwap::from_pointee(table(1));
    criterion
        .bench_function("table/load", |b| b.iter(|| black_box(published.load().routes().len())));
    let shared = Arc::new(ArcSwap::from_pointee(table(1)));
    let mut cache = Cache::new(shared);
    criterion.bench_function("table/load by a thread's own cache", |b| {
        b.iter(|| black_box(cache.load().routes().len()));
    });
    for routes in [1, 1_000] {
        let table = table(routes);
        criterion.bench_function(&format!("match/{routes} routes"), |b| {
            let (method, headers) = (http::Method::GET, http::HeaderMap::new());
            let asked = Asked { method: &method, headers: &headers, query: None };
            b.iter(|| {
                table.find(black_box("shop-0.example.com"), black_box("/api/cart/items"), &asked)
            });
        });
    }
    let (seed, weight) = (CohortSeed::of_release("shop", "1.9.0"), Weight::FULL);
    criterion.bench_function("cohort/of a cookie", |b| {
        b.iter(|| {
            Bucket::of_key(seed, black_box(b"2b7e151628aed2a6abf7158809cf4f3c")).variant(weight)
        });
    });
}

fn recording(criterion: &mut Criterion) {
    let alone = recorder(2);
    let mut micros = 1_000;
    let mut next = move || {
        micros = micros * 7 % 50_021;
        micros
    };
    criterion.bench_function("record/alone", |b| {
        b.iter(|| alone.record(Shard::of_thread(0), Ending::Success, Some(next()), 128));
    });
    for (name, other) in [("a shard of its own", 1), ("the same shard", 0)] {
        let (shared, stop) = (Arc::new(recorder(2)), Arc::new(AtomicBool::new(false)));
        let busy = {
            let (shared, stop) = (shared.clone(), stop.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    shared.record(Shard::of_thread(other), Ending::Success, Some(1_234), 128);
                }
            })
        };
        criterion.bench_function(&format!("record/beside a thread on {name}"), |b| {
            b.iter(|| shared.record(Shard::of_thread(0), Ending::Success, Some(next()), 128));
        });
        stop.store(true, Ordering::Relaxed);
        busy.join().expect("the other thread ends");
    }
    let drained = recorder(2);
    criterion.bench_function("drain/200 records", |b| {
        b.iter_batched(
            || {
                for at in 0..200 {
                    drained.record(
                        Shard::of_thread(at % 2),
                        Ending::Success,
                        Some(1_000 + at as u64 * 97),
                        128,
                    );
                }
            },
            |()| black_box(drained.drain()),
            criterion::BatchSize::PerIteration,
        );
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(50).without_plots();
    targets = routing, recording
}
criterion_main!(benches);
