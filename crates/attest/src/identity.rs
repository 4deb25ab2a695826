//! What a quote says about the environment that asked for it.

use serde::{Deserialize, Serialize};

use crate::{AttestError, Digest, Evidence, Kind, ReportData, dcap, simulated, snp};

/// A measured environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Identity {
    /// A virtual machine under TDX.
    Tdx {
        /// Measurement of the virtual firmware at launch.
        mrtd: Digest<48>,
        /// Run-time measurements: 0 firmware configuration, 1 boot loader and kernel, 2 command line and first file system, 3 free.
        rtmr: [Digest<48>; 4],
    },
    /// A virtual machine under SEV-SNP.
    SevSnp {
        /// Measurement of the memory at launch: firmware, and kernel, command line and first file system where their hashes are put there.
        measurement: Digest<48>,
        /// 32 bytes that the host chose at launch.
        host_data: Digest<32>,
        /// Privilege level of whoever asked for the quote.
        vmpl: u32,
        /// The guest policy, as the processor enforces it.
        policy: u64,
        /// The versions that the quote's key stands for.
        reported_tcb: SnpTcb,
        /// The versions at the launch of the virtual machine.
        launch_tcb: SnpTcb,
    },
    /// An enclave of SGX.
    Sgx {
        /// Measurement of the enclave.
        mrenclave: Digest<32>,
        /// Digest of the key that signed it.
        mrsigner: Digest<32>,
        /// The signer's number for the product.
        product_id: u16,
        /// The signer's number for the product's version.
        svn: u16,
    },
    /// Nothing: whoever made the quote wrote what it liked.
    Simulated {
        /// What it wrote.
        measurement: Digest<48>,
    },
}

/// Versions of the parts of an AMD processor's firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnpTcb {
    /// Of the first firmware; only processors from Turin on have it.
    #[serde(default)]
    pub fmc: u8,
    /// Of the boot loader.
    pub bootloader: u8,
    /// Of the secure processor's operating system.
    pub tee: u8,
    /// Of the SNP firmware.
    pub snp: u8,
    /// Of the microcode.
    pub microcode: u8,
}

impl SnpTcb {
    /// Name and value of each part.
    pub(crate) fn parts(self) -> [(&'static str, u8); 5] {
        [
            ("version of the FMC", self.fmc),
            ("version of the boot loader", self.bootloader),
            ("version of the TEE", self.tee),
            ("version of the SNP firmware", self.snp),
            ("version of the microcode", self.microcode),
        ]
    }
}

/// What a quote claims. Nobody vouches for it unless it comes out of [`verify`](crate::verify).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The environment.
    pub identity: Identity,
    /// What the environment bound the quote to.
    pub report_data: ReportData,
    /// Whether its host can read it.
    pub debug: bool,
    /// The processor, where the quote says so.
    pub platform: Option<Platform>,
}

/// By what a manufacturer's server is asked for endorsements of a quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "manufacturer", rename_all = "lowercase")]
pub enum Platform {
    /// Of Intel: TCB info goes by the first, revocation lists by the second.
    Intel {
        /// Family, model, stepping, platform type and customer SKU.
        fmspc: Digest<6>,
        /// Which authority certified the platform: `processor` or `platform`.
        ca: &'static str,
    },
    /// Of AMD: the VCEK goes by chip id and [reported TCB](Identity::SevSnp).
    Amd {
        /// The processor; of models from Turin on the first 8 bytes.
        chip_id: Digest<64>,
    },
}

/// Reads what evidence claims, without verifying anything: to look up measurements to pin on a machine that one trusts, and to show what came.
///
/// # Errors
/// [`AttestError::Malformed`], or [`AttestError::Kind`] when the quote is of another kind than the evidence says.
pub fn inspect(evidence: &Evidence) -> Result<Claims, AttestError> {
    match evidence.kind() {
        Kind::Tdx | Kind::Sgx => dcap::inspect(evidence.kind(), evidence.quote()),
        Kind::SevSnp => snp::inspect(evidence.quote()),
        Kind::Simulated => simulated::inspect(evidence.quote()),
    }
}
