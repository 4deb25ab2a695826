//! Attestation: an enclave proves what it is before a customer sends it anything secret.
//!
//! Four kinds ([`Kind`]): virtual machines under Intel TDX and AMD SEV-SNP, whose kernel gives quotes through configfs-tsm; SGX enclaves under Gramine;
//! and `simulated`, which proves nothing and is chosen only by name. [`Attester`] makes [`Evidence`]; the customer [`verify`]s it against a
//! [`Policy`] with pinned measurements. There is no network, clock or protocol in this crate.
//!
//! # Steps
//!
//! 1. TLS 1.3 between customer and enclave, with the enclave's certificate pinned or known as ever.
//! 2. The customer sends a [`Nonce::fresh`].
//! 3. Both export 32 bytes under [`EXPORTER_LABEL`] with the nonce as context and compute [`ReportData::bind`] of the enclave's key, the nonce and these.
//! 4. The enclave answers with [`Attester::attest`] of its report data; the customer calls [`verify`] with its own.
//! 5. Only now the customer sends data, keys or the model. After a broken connection all steps are taken anew: a quote is for one connection.
//!
//! # Threats
//!
//! The enclave's operator has the machine, its disks, network, hypervisor and boot, and may run other enclaves, genuine ones with other code too.
//! It wants the customer to send secrets where it can read them. It cannot read a genuine enclave's memory, or forge the manufacturer's signatures.
//!
//! | it tries | refused by |
//! |---|---|
//! | other code, kernel, firmware | pinned measurements |
//! | an enclave in debug mode | always refused |
//! | a platform with known holes | TCB status, advisories, least versions; endorsements must be valid at the time of verification |
//! | an old quote | the nonce |
//! | a genuine quote for another connection | the TLS exporter in the report data |
//! | simulated evidence to a customer that asked for a real kind | the kind is part of the policy; there is no "any" |
//! | malformed bytes | limits before anything is allocated; a test with mutants of real quotes |
//!
//! A quote that is bound to the TLS *key* alone can be relayed by whoever gets that key, or by whoever makes two connections use the same one
//! (CVE-2026-33697, for one). Keying material exported from the connection differs for every connection, and only its two ends can compute it; so a
//! quote fits the connection that the customer itself has, or nothing.
//!
//! # What is not proven
//!
//! - That the measured code is good, or what source it was built from: whoever pins a measurement vouches for it.
//! - Anything that is not measured: of TDX without `rtmr1` and `rtmr2` the kernel and the system; disks and files loaded later; `host_data`.
//! - That the machine stands in somebody's data centre. Physical attacks on the memory bus (as published for SGX, TDX and SEV-SNP in 2025), side channels
//!   and faults are outside; with extracted keys of any one genuine processor, quotes can be forged.
//! - That the enclave is still there later: a quote is about the moment it was made.
//! - Intel's and AMD's honesty: their root keys are built in.
//! - AMD's revocation lists are not looked at; reports under cloud keys (VLEK) are refused.
//!
//! # Example
//!
//! ```
//! use cloven_attest::{Attester, Digest, Evidence, Exporter, KeyHash, Nonce, Policy, ReportData, Simulated, verify};
//! use std::time::SystemTime;
//! # fn main() -> Result<(), cloven_attest::AttestError> {
//! # let (spki, exported) = ([1; 91], [2; 32]);
//! // The customer:
//! let policy = Policy::from_toml(&format!("kind = \"simulated\"\n[simulated]\nmeasurement = \"{}\"", "ab".repeat(48)))?;
//! policy.warnings().iter().for_each(|warning| eprintln!("warning: {warning}"));
//! let nonce = Nonce::fresh()?;
//!
//! // The enclave, which got the nonce:
//! let attester = Attester::Simulated(Simulated { measurement: Digest([0xab; 48]), debug: false });
//! attester.warning().iter().for_each(|warning| eprintln!("warning: {warning}"));
//! let own = ReportData::bind(&KeyHash::of_spki(&spki), &nonce, &Exporter::from_bytes(exported));
//! let answer = attester.attest(&own)?.encode();
//!
//! // The customer, who computes the report data from its own end of the connection:
//! let expected = ReportData::bind(&KeyHash::of_spki(&spki), &nonce, &Exporter::from_bytes(exported));
//! let verified = verify(&policy, &Evidence::decode(&answer)?, &expected, SystemTime::now())?;
//! println!("{:?}", verified.identity);
//! # Ok(())
//! # }
//! ```

mod attester;
mod binding;
mod check;
mod dcap;
mod digest;
mod error;
mod evidence;
mod identity;
mod kind;
mod policy;
mod simulated;
mod snp;
mod verify;

pub use attester::{Attester, ConfigfsTsm, Gramine};
pub use binding::{EXPORTER_LABEL, Exporter, KeyHash, Nonce, ReportData};
pub use digest::Digest;
pub use error::AttestError;
pub use evidence::{Evidence, MAX_ENDORSEMENTS, MAX_QUOTE};
pub use identity::{Claims, Identity, Platform, SnpTcb, inspect};
pub use kind::Kind;
pub use policy::{DcapTcb, Policy, Requirement, SgxPolicy, SimulatedPolicy, SnpPolicy, TcbStatus, TdxPolicy};
pub use simulated::{SIMULATED_WARNING, Simulated};
pub use verify::{Tcb, Verified, verify};
