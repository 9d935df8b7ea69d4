//! Chunks that overlap: the beginning of a new chunk is mixed with what the last one had planned for the same moments.
//!
//! A policy that is asked again after `execute` of `chunk` actions has said something of the next `chunk - execute` moments already.
//! Going over from the old plan to the new one step by step leaves no jump between chunks; averaging what several chunks say of a
//! moment is temporal ensembling (Zhao et al. 2023, arXiv:2304.13705, sec. IV-A). With `L = chunk - execute`:
//! `a_k = w_k p_{execute+k} + (1 - w_k) n_k`, `w_k = 1 - (k+1)/(L+1)` for `k < L`.
//!
//! A plan is only gone on with while it is the same motion: who is asked late, or finds the robot elsewhere than any recorded one
//! could have moved, begins anew ([`Memory`]). openpi's clients keep one connection over many episodes and say nothing between them.

use std::time::Instant;

use burn::tensor::{Tensor, TensorData};

/// Mixes chunks `[B, C*A]` with the chunks `last` before, of which `execute` actions were executed.
pub fn blend(last: &Tensor<2>, chunk: Tensor<2>, action_len: usize, execute: usize) -> Tensor<2> {
    let [_, width] = chunk.dims();
    assert_eq!(last.dims(), chunk.dims(), "chunks of one policy have one shape [B, chunk*A]");
    let (planned, done) = (width / action_len, execute * action_len);
    let left = planned.saturating_sub(execute);
    if left == 0 {
        return chunk;
    }
    let weights: Vec<f32> =
        (0..left).flat_map(|k| std::iter::repeat_n(1.0 - (k + 1) as f32 / (left + 1) as f32, action_len)).collect();
    let weights = Tensor::<2>::from_data(TensorData::new(weights, [1, left * action_len]), &chunk.device());
    let [old, new] = [last.clone().narrow(1, done, width - done), chunk.clone().narrow(1, 0, width - done)];
    let mixed = new.clone() + (old - new) * weights;
    Tensor::cat(vec![mixed, chunk.narrow(1, width - done, done)], 1)
}

/// How chunks are executed one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receding {
    /// Actions of a chunk that are executed before the policy is asked again.
    pub execute: usize,
    /// Whether a chunk is mixed with the one before it.
    pub blend: bool,
}

impl From<usize> for Receding {
    fn from(execute: usize) -> Self {
        Self { execute, blend: false }
    }
}

impl Receding {
    /// The chunks `[B, C*A]` to execute, after those in `last`, which become these.
    pub fn go_on(&self, last: &mut Option<Tensor<2>>, chunk: Tensor<2>, action_len: usize) -> Tensor<2> {
        if !self.blend {
            return chunk;
        }
        let chunk = match last.take() {
            Some(last) => blend(&last, chunk, action_len, self.execute),
            None => chunk,
        };
        *last = Some(chunk.clone());
        chunk
    }
}

/// Times the executed actions take, after which an answer begins anew, and what inference and the way to the robot may add, seconds.
const LATE: (f64, f64) = (2.0, 0.5);

/// What the last answer to one robot was, to go on from.
#[derive(Debug, Default)]
pub struct Memory {
    last: Option<Last>,
}

#[derive(Debug)]
struct Last {
    /// Normalised chunk `[1, C*A]`, as it was answered.
    chunk: Tensor<2>,
    /// Raw state that it was answered to.
    state: Vec<f32>,
    /// Task that it was answered for.
    prompt: Option<String>,
    answered: Instant,
}

/// What makes a new observation a continuation of the last.
#[derive(Clone, Copy, Debug)]
pub struct Continuation<'a> {
    /// Actions executed between two observations.
    pub execute: usize,
    /// Steps per second, Hz; 0 where nobody knows.
    pub control_rate_hz: f64,
    /// Per element of the raw state, the farthest that a continuation can lie away.
    pub farthest: &'a [f32],
}

impl Memory {
    /// The last chunk, if the observation `state` (with `prompt`) at `now` goes on from it.
    pub fn recall(
        &self,
        state: &[f32],
        prompt: Option<&str>,
        how: &Continuation<'_>,
        now: Instant,
    ) -> Option<&Tensor<2>> {
        let last = self.last.as_ref()?;
        let patience_s = if how.control_rate_hz > 0.0 {
            LATE.0 * how.execute as f64 / how.control_rate_hz + LATE.1
        } else {
            f64::INFINITY
        };
        let in_time = now.saturating_duration_since(last.answered).as_secs_f64() <= patience_s;
        let near = state.iter().zip(&last.state).zip(how.farthest).all(|((x, was), most)| (x - was).abs() <= *most);
        (in_time && near && last.prompt.as_deref() == prompt).then_some(&last.chunk)
    }

    /// Keeps what was answered.
    pub fn keep(&mut self, chunk: Tensor<2>, state: &[f32], prompt: Option<&str>, now: Instant) {
        let prompt = prompt.map(str::to_owned);
        self.last = Some(Last { chunk, state: state.to_vec(), prompt, answered: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use burn::tensor::Device;
    use world_model::vision::floats;

    fn chunk(values: &[f32]) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values.to_vec(), [1, values.len()]), &Device::default())
    }

    #[test]
    fn the_old_plan_gives_way_step_by_step_by_hand() {
        let mixed = |execute| floats(blend(&chunk(&[9.0, 9.0, 3.0, 6.0]), chunk(&[0.0, 0.0, 1.0, 2.0]), 1, execute));
        // Two are left: weights 2/3 and 1/3.
        let two = mixed(2);
        assert!((two[0] - 2.0).abs() < 1e-6 && (two[1] - 2.0).abs() < 1e-6 && two[2..] == [1.0, 2.0], "{two:?}");
        // Three are left: weights 3/4, 1/2, 1/4 of 9, 3, 6.
        assert_eq!(mixed(1), [6.75, 1.5, 2.25, 2.0]);
        assert_eq!(mixed(4), [0.0, 0.0, 1.0, 2.0], "nothing is left of a chunk that was executed whole");
        // Two elements an action: both go the same way.
        let pairs = blend(&chunk(&[0.0, 0.0, 2.0, 4.0]), chunk(&[0.0, 0.0, 1.0, 1.0]), 2, 1);
        assert_eq!(floats(pairs), [1.0, 2.0, 1.0, 1.0]);
    }

    #[test]
    fn chunks_go_on_from_each_other_and_by_themselves_where_that_is_off() {
        let chunks = [[0.0, 0.0, 3.0, 6.0], [0.0, 0.0, 9.0, 9.0], [0.0, 0.0, 0.0, 0.0]];
        let executed = |receding: Receding| -> Vec<f32> {
            let mut last = None;
            chunks.iter().flat_map(|c| floats(receding.go_on(&mut last, chunk(c), 1))[..2].to_vec()).collect()
        };
        // Two of four are executed: 2/3 and 1/3 of what is left of the chunk before.
        let blended = executed(Receding { execute: 2, blend: true });
        assert!(blended.iter().zip([0.0, 0.0, 2.0, 2.0, 6.0, 3.0]).all(|(a, b)| (a - b).abs() < 1e-6), "{blended:?}");
        assert_eq!(executed(2.into()), [0.0; 6]);
    }

    #[test]
    fn a_plan_goes_on_only_in_time_in_place_and_for_the_same_task() {
        let began = Instant::now();
        let mut memory = Memory::default();
        let how = Continuation { execute: 5, control_rate_hz: 10.0, farthest: &[0.5, f32::INFINITY] };
        let later = |s: f64| began + Duration::from_secs_f64(s);
        assert!(memory.recall(&[0.0, 0.0], None, &how, began).is_none());
        memory.keep(chunk(&[1.0]), &[0.0, 0.0], Some("push"), began);
        let goes_on =
            |state: &[f32], prompt: Option<&str>, s: f64| memory.recall(state, prompt, &how, later(s)).is_some();
        assert!(goes_on(&[0.4, 7.0], Some("push"), 0.5));
        assert!(!goes_on(&[0.6, 0.0], Some("push"), 0.5), "a jump");
        assert!(goes_on(&[0.0, 0.0], Some("push"), 1.4) && !goes_on(&[0.0, 0.0], Some("push"), 1.6), "a gap");
        assert!(!goes_on(&[0.0, 0.0], Some("pull"), 0.5) && !goes_on(&[f32::NAN, 0.0], Some("push"), 0.5));
        let nobody_knows = Continuation { control_rate_hz: 0.0, ..how };
        assert!(memory.recall(&[0.0, 0.0], Some("push"), &nobody_knows, later(1e6)).is_some());
    }
}
