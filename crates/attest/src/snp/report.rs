//! The attestation report: 1,184 bytes in a fixed order.

use super::malformed;
use crate::{AttestError, Claims, Digest, Identity, Platform, ReportData, SnpTcb};

const LEN: usize = 0x4a0;

/// What the signature covers.
const SIGNED: usize = 0x2a0;

/// Bytes of each of the signature's two numbers, lowest first; a number of P-384 has 48.
const SCALAR: usize = 72;

/// A report, of the right length. Nothing in it is authentic.
pub(super) struct Report<'a>(&'a [u8; LEN]);

impl<'a> Report<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, AttestError> {
        let report = bytes
            .try_into()
            .map(Self)
            .map_err(|_| malformed(format!("expected {LEN} bytes, got {}", bytes.len())))?;
        match report.version() {
            2..=5 => Ok(report),
            got => Err(malformed(format!("expected version 2 to 5, got {got}"))),
        }
    }

    /// What must hold before its signature means anything.
    pub(super) fn check_form(&self) -> Result<(), AttestError> {
        let algorithm = u32::from_le_bytes(self.at(0x34));
        if algorithm != 1 {
            return Err(malformed(format!(
                "expected signature algorithm 1 (ECDSA P-384 with SHA-384), got {algorithm}"
            )));
        }
        let signer = (u32::from_le_bytes(self.at(0x48)) >> 2) & 0b111;
        if signer != 0 {
            let name = if signer == 1 { " (VLEK)" } else { "" };
            return Err(malformed(format!(
                "expected a report signed by key 0 (VCEK), got {signer}{name}"
            )));
        }
        if self.0[SIGNED + 2 * SCALAR..].iter().any(|byte| *byte != 0) {
            return Err(malformed("bytes follow its signature".to_owned()));
        }
        Ok(())
    }

    pub(super) fn signed(&self) -> &'a [u8] {
        &self.0[..SIGNED]
    }

    /// r and s, highest byte first.
    pub(super) fn signature(&self) -> Result<[u8; 96], AttestError> {
        let mut both = [0; 96];
        for (number, out) in self.0[SIGNED..].chunks(SCALAR).zip(both.chunks_mut(48)) {
            let (low, high) = number.split_at(48);
            if high.iter().any(|byte| *byte != 0) {
                return Err(malformed("a number of its signature is too large".to_owned()));
            }
            out.copy_from_slice(low);
            out.reverse();
        }
        Ok(both)
    }

    /// `turin`: whether the processor counts its versions as models from Turin on do.
    pub(super) fn claims(&self, turin: bool) -> Claims {
        Claims {
            identity: Identity::SevSnp {
                measurement: Digest(self.at(0x90)),
                host_data: Digest(self.at(0xc0)),
                vmpl: u32::from_le_bytes(self.at(0x30)),
                policy: self.policy().0,
                reported_tcb: tcb(self.at(0x180), turin),
                launch_tcb: tcb(self.at(0x1f0), turin),
            },
            report_data: ReportData::from_bytes(self.at(0x50)),
            debug: self.policy().debug(),
            platform: Some(Platform::Amd {
                chip_id: Digest(self.chip_id()),
            }),
        }
    }

    pub(super) fn policy(&self) -> GuestPolicy {
        GuestPolicy(u64::from_le_bytes(self.at(0x08)))
    }

    pub(super) fn chip_id(&self) -> [u8; 64] {
        self.at(0x1a0)
    }

    /// By the processor's family; reports of version 2 do not say, and no Turin makes them.
    pub(super) fn is_turin(&self) -> Option<bool> {
        (self.version() >= 3).then(|| self.0[0x188] >= 0x1a)
    }

    fn version(&self) -> u32 {
        u32::from_le_bytes(self.at(0))
    }

    /// All offsets are constants of this file, and the report has its full length.
    fn at<const N: usize>(&self, offset: usize) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.0[offset..offset + N]);
        bytes
    }
}

/// Bits that the guest's owner sets and the processor enforces.
#[derive(Clone, Copy)]
pub(super) struct GuestPolicy(u64);

impl GuestPolicy {
    pub(super) fn smt(self) -> bool {
        self.bit(16)
    }

    pub(super) fn migration_agent(self) -> bool {
        self.bit(18)
    }

    pub(super) fn debug(self) -> bool {
        self.bit(19)
    }

    pub(super) fn single_socket(self) -> bool {
        self.bit(20)
    }

    fn bit(self, n: u32) -> bool {
        self.0 >> n & 1 == 1
    }
}

fn tcb(bytes: [u8; 8], turin: bool) -> SnpTcb {
    match turin {
        true => SnpTcb {
            fmc: bytes[0],
            bootloader: bytes[1],
            tee: bytes[2],
            snp: bytes[3],
            microcode: bytes[7],
        },
        false => SnpTcb {
            fmc: 0,
            bootloader: bytes[0],
            tee: bytes[1],
            snp: bytes[6],
            microcode: bytes[7],
        },
    }
}
