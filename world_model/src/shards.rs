//! Shards side by side, each on threads that it shares with no other.
//!
//! Matrix products split their work over the pool they run in. In one pool for all, a shard waits in the middle of a product
//! for a thread that is busy with another shard; in a pool of its own it never waits. How many pools there are depends on the
//! machine, what is computed does not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

/// Pools for so many groups, which share all threads evenly; made once.
fn pools(groups: usize) -> Arc<Vec<ThreadPool>> {
    static POOLS: Mutex<BTreeMap<usize, Arc<Vec<ThreadPool>>>> = Mutex::new(BTreeMap::new());
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    let size = (rayon::current_num_threads() / groups).max(1);
    let pool = || ThreadPoolBuilder::new().num_threads(size).thread_name(|i| format!("shard-{i}")).build().ok();
    Arc::clone(pools.entry(groups).or_insert_with(|| Arc::new((0..groups).map_while(|_| pool()).collect())))
}

/// `work(i, shard_i)` for every shard, as many at a time as there are threads; results in the order of the shards.
pub fn side_by_side<S: Send, R: Send>(shards: Vec<S>, work: impl Fn(usize, S) -> R + Sync) -> Vec<R> {
    let groups = shards.len().min(rayon::current_num_threads());
    let pools = if groups > 1 { pools(groups) } else { Arc::default() };
    if pools.len() < 2 {
        return shards.into_iter().enumerate().map(|(i, shard)| work(i, shard)).collect();
    }
    let mut results: Vec<Option<R>> = shards.iter().map(|_| None).collect();
    let mut queues: Vec<Vec<(usize, S, &mut Option<R>)>> = pools.iter().map(|_| Vec::new()).collect();
    for (i, (shard, result)) in shards.into_iter().zip(&mut results).enumerate() {
        queues[i % pools.len()].push((i, shard, result));
    }
    spread(&pools, queues, &|(i, shard, result)| *result = Some(work(i, shard)));
    results.into_iter().flatten().collect()
}

/// Batches drawn while the update before them is still learning.
///
/// An update's data and noise depend on its number alone, so drawing them early changes nothing but the time it takes.
#[derive(Debug)]
pub struct Ahead<S> {
    next: Option<(usize, Vec<S>)>,
}

impl<S> Default for Ahead<S> {
    fn default() -> Self {
        Self { next: None }
    }
}

impl<S: Send> Ahead<S> {
    /// `learn` of what `draw` gives for `update`; `draw` for the update after it runs beside.
    pub fn learn<R: Send>(
        &mut self,
        update: usize,
        draw: impl Fn(usize) -> Vec<S> + Sync,
        learn: impl FnOnce(Vec<S>) -> R + Send,
    ) -> R {
        let shards = match self.next.take() {
            Some((drawn, shards)) if drawn == update => shards,
            _ => draw(update),
        };
        let (result, next) = rayon::join(|| learn(shards), || draw(update + 1));
        self.next = Some((update + 1, next));
        result
    }
}

/// Runs every queue in its pool and comes back when all are done.
fn spread<J: Send>(pools: &[ThreadPool], mut queues: Vec<Vec<J>>, run: &(impl Fn(J) + Sync)) {
    if let (Some((pool, others)), Some(queue)) = (pools.split_first(), queues.pop()) {
        pool.in_place_scope(|scope| {
            scope.spawn(move |_| queue.into_iter().for_each(run));
            spread(others, queues, run);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_shards_whatever_their_number() {
        for count in 0..9 {
            let shards: Vec<usize> = (0..count).collect();
            let squares = side_by_side(shards, |i, shard| {
                assert_eq!(i, shard);
                shard * shard
            });
            assert_eq!(squares, (0..count).map(|x| x * x).collect::<Vec<_>>());
        }
    }

    #[test]
    fn batches_drawn_ahead_are_those_of_their_update_also_after_a_jump() {
        let mut ahead = Ahead::default();
        for update in [0, 1, 2, 7, 8, 3] {
            assert_eq!(ahead.learn(update, |u| vec![10 * u, 10 * u + 1], |s| s), [10 * update, 10 * update + 1]);
        }
    }

    #[test]
    fn shards_run_at_the_same_time_where_there_are_threads() {
        if rayon::current_num_threads() < 2 {
            return;
        }
        // Each waits for the other: in turn they would wait for ever.
        let barrier = std::sync::Barrier::new(2);
        assert_eq!(side_by_side(vec![1, 2], |_, x| (barrier.wait().is_leader(), x).1), [1, 2]);
    }
}
