//! Fused operations for the CPU device, each with a backward pass written by hand.
//!
//! burn's CPU device works through an expression operation by operation: each is a pass over memory, and exponentials are
//! scalar. Where a training step spends time outside matrix products, one pass here does what took five to twenty. Every file
//! is one operation: what it computes, how it is differentiated, and the plain composition of burn's operations that other
//! devices run (they fuse for themselves). Tests hold the two against each other, and gradients against central differences.
//!
//! Loops are written without branches, so that the compiler vectorises them; [`pulp`] chooses the widest instructions of the
//! processor at run time. Nothing here is `unsafe`. Operations run on the caller's thread: the batch is already sharded over
//! the cores ([`crate::shards`]).

pub mod bias;
pub mod blend;
pub mod categorical;
pub mod gru;
pub mod keypoints;
mod maths;
pub mod moved;
pub mod nearness;
pub mod silu;
pub mod two_hot;
pub mod unfold;

use burn::backend::{DType, DispatchDevice};
use burn::tensor::{Tensor, TensorData};

/// What an operation of its own is written with.
mod prelude {
    pub(super) use burn::backend::autodiff::checkpoint::base::Checkpointer;
    pub(super) use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    pub(super) use burn::backend::autodiff::grads::Gradients;
    pub(super) use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
    pub(super) use burn::backend::flex::FlexTensor;
    pub(super) use burn::backend::tensor::FloatTensor;
    pub(super) use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
}
use prelude::FlexTensor;

/// Whether a tensor is one that the fused operations take: single precision on the CPU device.
fn fused<const D: usize>(x: &Tensor<D>) -> bool {
    let on_cpu = match x.device().as_dispatch() {
        DispatchDevice::Flex(_) => true,
        DispatchDevice::Autodiff(device) => matches!(**device, DispatchDevice::Flex(_)),
        #[allow(unreachable_patterns)] // other devices exist only with the features that bring them
        _ => false,
    };
    on_cpu && x.dtype() == DType::F32
}

/// The values of a tensor in row-major order, copied only where they do not lie so.
struct Values(FlexTensor);

impl Values {
    fn of(x: &FlexTensor) -> Self {
        if x.as_slice::<f32>().is_some() { Self(x.clone()) } else { Self(x.to_contiguous()) }
    }
}

impl std::ops::Deref for Values {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.0.as_slice().expect("contiguous single precision")
    }
}

/// A tensor whose storage is exactly its values, to be written over; copied only where somebody else holds it too.
fn writable(x: FlexTensor) -> FlexTensor {
    let exact = x.as_slice::<f32>().is_some_and(|values| values.len() == x.storage::<f32>().len());
    if exact { x } else { x.to_contiguous() }
}

fn tensor(values: Vec<f32>, shape: impl Into<burn::tensor::Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// Sizes of the dimensions.
fn sizes(x: &FlexTensor) -> Vec<usize> {
    x.layout().shape().iter().copied().collect()
}

#[cfg(test)]
mod check;
