//! Which GPUs there are.

use crate::Wgpu;
use cloven_accel::{AccelError, gpu::OnGpu};
use wgpu::{Adapter, Backends, DeviceType, Instance, InstanceDescriptor};

/// Names of the adapters, with driver and kind, in the order of their numbers.
///
/// # Errors
/// [`AccelError::NoDevice`] where there is none.
pub fn available() -> Result<Vec<String>, AccelError> {
    let adapters = adapters()?;
    Ok(adapters.iter().map(name).collect())
}

/// An adapter by its number in [`available`]; without one the first that is no software, or, where all are, the first.
///
/// # Errors
/// [`AccelError::NoDevice`] where there is no such adapter, [`AccelError::Device`] where it cannot be used.
pub fn open(number: Option<usize>) -> Result<OnGpu<Wgpu>, AccelError> {
    let mut adapters = adapters()?;
    let count = adapters.len();
    let number = number.unwrap_or_else(|| preferred(&adapters));
    if number >= count {
        let cause = format!("expected an adapter from 0 to {}, got {number}", count - 1);
        return Err(AccelError::no_device("wgpu", cause));
    }
    let adapter = adapters.swap_remove(number);
    Wgpu::new(&adapter, name(&adapter)).map(OnGpu)
}

/// At least one.
fn adapters() -> Result<Vec<Adapter>, AccelError> {
    let instance = Instance::new(InstanceDescriptor {
        backends: Backends::PRIMARY,
        ..InstanceDescriptor::new_without_display_handle()
    });
    let adapters = pollster::block_on(instance.enumerate_adapters(Backends::PRIMARY));
    match adapters.is_empty() {
        true => Err(AccelError::no_device(
            "wgpu",
            "no driver for Vulkan, Metal or Direct3D 12 was found",
        )),
        false => Ok(adapters),
    }
}

fn name(adapter: &Adapter) -> String {
    let info = adapter.get_info();
    let kind = match info.device_type {
        DeviceType::DiscreteGpu => "discrete",
        DeviceType::IntegratedGpu => "integrated",
        DeviceType::VirtualGpu => "virtual",
        DeviceType::Cpu => "software",
        DeviceType::Other => "other",
    };
    format!("{} ({:?}, {kind})", info.name, info.backend)
}

fn preferred(adapters: &[Adapter]) -> usize {
    let order = [
        DeviceType::DiscreteGpu,
        DeviceType::IntegratedGpu,
        DeviceType::VirtualGpu,
        DeviceType::Other,
    ];
    let of_kind = |kind: &DeviceType| adapters.iter().position(|adapter| adapter.get_info().device_type == *kind);
    order.iter().find_map(of_kind).unwrap_or(0)
}
