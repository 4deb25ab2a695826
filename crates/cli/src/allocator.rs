//! How this process' allocator treats large buffers.

use cloven::{Job, Party, Protocol, Role};

/// Has glibc keep what is freed for the next allocation, in the enclave and its workers: each product takes and frees buffers of many megabytes, which would otherwise
/// be given back to the kernel and faulted in again, page by page, every time. The process keeps up to a gigabyte that it does not use; its peak is hardly larger.
/// Other allocators are left as they are.
pub fn keep_freed_memory(job: &Job, party: &Party) {
    let large = matches!(job.role(party), Ok(Role::Server | Role::Worker));
    if job.protocol == Protocol::Enclave && large {
        tune();
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
fn tune() {
    let settings = [
        // The largest threshold that glibc takes on 64 bits; larger buffers are mapped one by one.
        (libc::M_MMAP_THRESHOLD, 32 << 20),
        (libc::M_TRIM_THRESHOLD, 1 << 30),
        (libc::M_TOP_PAD, 16 << 20),
    ];
    for (setting, value) in settings {
        // SAFETY: no memory passes; glibc checks the number and takes its own lock. A value that it refuses changes nothing.
        unsafe { libc::mallopt(setting, value) };
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn tune() {}
