//! An accelerator on whatever GPU has a driver for Vulkan, Metal or Direct3D 12, through wgpu.
//!
//! ```no_run
//! use cloven_accel::job::{Limits, Worker};
//!
//! # fn main() -> Result<(), cloven_accel::AccelError> {
//! for (number, name) in cloven_accel_wgpu::available()?.iter().enumerate() {
//!     println!("{number}: {name}");
//! }
//! let worker = Worker::on(cloven_accel_wgpu::open(None)?, Limits::default());
//! println!("computing on {}", worker.device_name());
//! # Ok(())
//! # }
//! ```
//!
//! The kernels are in `kernels.wgsl`; how tensors lie in buffers and what is launched on them is [`cloven_accel::gpu`]'s. Products of residues take four terms at a
//! time (`dot4I8Packed`), by an instruction of the GPU's where it has one.

mod adapters;
mod device;

pub use adapters::{available, open};
pub use device::Wgpu;
