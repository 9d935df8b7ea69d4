//! What came before an observation: the last few (state, action) pairs side by side, the latest first.
//!
//! For robots whose state does not show all: velocities from positions, delays, what an object did a moment ago. It is the `h` of
//! a latent state. Where an episode begins, the first state stands for those before it, with actions of 0.

use burn::module::Module;
use burn::tensor::Tensor;

/// Sizes of a past of `P` pairs.
#[derive(Module, Debug)]
pub(super) struct Past {
    pairs: usize,
    state: usize,
    action: usize,
}

impl Past {
    /// For `history` observations in all, this one included.
    pub fn new(history: usize, state: usize, action: usize) -> Self {
        Self { pairs: history.saturating_sub(1), state, action }
    }

    /// Pairs `P`.
    pub fn steps(&self) -> usize {
        self.pairs
    }

    /// Elements of a past.
    pub fn len(&self) -> usize {
        self.pairs * (self.state + self.action)
    }

    /// The past of a first state `[.., S]`: `[.., P(S+A)]`, `None` where nothing is remembered.
    pub fn begin<const D: usize>(&self, x: Tensor<D>) -> Option<Tensor<D>> {
        (self.pairs > 0).then(|| {
            let mut idle = x.dims();
            idle[D - 1] = self.action;
            let pair = Tensor::cat(vec![x.clone(), Tensor::zeros(idle, &x.device())], D - 1);
            Tensor::cat(vec![pair; self.pairs], D - 1)
        })
    }

    /// The past after `action [.., A]` at `x [.., S]`.
    pub fn push<const D: usize>(&self, past: &Option<Tensor<D>>, x: Tensor<D>, action: Tensor<D>) -> Option<Tensor<D>> {
        let past = past.clone()?;
        let kept = self.len() - (self.state + self.action);
        let kept = (kept > 0).then(|| past.narrow(D - 1, 0, kept));
        Some(Tensor::cat([x, action].into_iter().chain(kept).collect(), D - 1))
    }

    /// The past with its latest `pairs` moved by `[.., S]`: they were foreseen and not seen, and all of what followed lies elsewhere.
    pub fn moved<const D: usize>(&self, past: Option<Tensor<D>>, by: Tensor<D>, pairs: usize) -> Option<Tensor<D>> {
        let (past, pairs) = (past?, pairs.min(self.pairs));
        let mut still = past.dims();
        still[D - 1] = self.action;
        let moved = Tensor::cat(vec![by, Tensor::zeros(still, &past.device())], D - 1);
        let kept = Tensor::zeros_like(&moved);
        let by = (0..self.pairs).map(|pair| if pair < pairs { moved.clone() } else { kept.clone() }).collect();
        Some(past + Tensor::cat(by, D - 1))
    }

    /// What a network sees: state `[.., S]`, action `[.., A]`, and of every pair how far it went from there to the state after it, through
    /// `scaled`, and its action. Places a step apart are nearly the same number, and networks would have to tell speeds from their last digits.
    pub fn input<const D: usize>(
        &self,
        x: Tensor<D>,
        action: Tensor<D>,
        past: &Option<Tensor<D>>,
        scaled: impl Fn(Tensor<D>) -> Tensor<D>,
    ) -> Tensor<D> {
        let mut parts = vec![x.clone(), action];
        if let Some(past) = past {
            let mut after = x;
            for pair in 0..self.pairs {
                let at = pair * (self.state + self.action);
                let before = past.clone().narrow(D - 1, at, self.state);
                parts.push(scaled(after - before.clone()));
                parts.push(past.clone().narrow(D - 1, at + self.state, self.action));
                after = before;
            }
        }
        Tensor::cat(parts, D - 1)
    }

    /// The pasts of all steps of sequences that begin without one: states `[B, L, S]`, actions `[B, L, A]` to `[B, L, P(S+A)]`.
    pub fn along(&self, x: Tensor<3>, action: Tensor<3>) -> Option<Tensor<3>> {
        let [_, steps, _] = x.dims();
        let mut past = self.begin(x.clone().narrow(1, 0, 1))?;
        let mut all = vec![past.clone()];
        for i in 0..steps - 1 {
            past = self.push(&Some(past), x.clone().narrow(1, i, 1), action.clone().narrow(1, i, 1))?;
            all.push(past.clone());
        }
        Some(Tensor::cat(all, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::floats;
    use burn::tensor::Device;

    #[test]
    fn the_past_of_a_sequence_by_hand() {
        let device = Device::default();
        let past = Past::new(3, 1, 1);
        let x = Tensor::<3>::from_floats([[[1.0], [2.0], [3.0]]], &device);
        let action = Tensor::<3>::from_floats([[[0.1], [0.2], [0.3]]], &device);
        let along = past.along(x.clone(), action.clone()).expect("two pairs");
        let expected = [
            1.0, 0.0, 1.0, 0.0, // nothing before the first but itself
            1.0, 0.1, 1.0, 0.0, //
            2.0, 0.2, 1.0, 0.1,
        ];
        assert_eq!(floats(along.clone()), expected);
        // It went by 1 from the first to the second, and by nothing before; by 1 and by 1 to the third. Tenfold here.
        let input = floats(past.input(x, action, &Some(along), |moved| moved * 10.0));
        assert_eq!(input[6..], [2.0, 0.2, 10.0, 0.1, 0.0, 0.0, 3.0, 0.3, 10.0, 0.2, 10.0, 0.1]);
    }

    #[test]
    fn what_was_foreseen_moves_and_what_was_seen_stays() {
        let device = Device::default();
        let (past, of) = (Past::new(3, 1, 1), Tensor::<2>::from_floats([[3.0, 0.3, 2.0, 0.2]], &device));
        let moved = |pairs: usize| {
            let by = Tensor::<2>::from_floats([[0.5]], &device);
            floats(past.moved(Some(of.clone()), by, pairs).expect("two pairs"))
        };
        assert_eq!(moved(0), [3.0, 0.3, 2.0, 0.2]);
        assert_eq!(moved(1), [3.5, 0.3, 2.0, 0.2]);
        assert_eq!(moved(7), [3.5, 0.3, 2.5, 0.2]);
    }

    #[test]
    fn without_history_nothing_is_remembered() {
        let past = Past::new(1, 2, 1);
        assert!(past.begin(Tensor::<2>::zeros([3, 2], &Device::default())).is_none());
        assert_eq!((past.len(), past.steps()), (0, 0));
    }
}
