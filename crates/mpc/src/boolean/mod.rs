//! GMW: circuits on XOR-shared bits, any number of parties, one round per layer of ANDs.
//!
//! *Goldreich, Micali, Wigderson, STOC 1987; ANDs by multiplication triples (Beaver, Crypto 1991), which are made of oblivious transfers.*
//! Semi-honest, secure with all parties but one corrupted.
//!
//! | party | learns |
//! |---|---|
//! | any | nothing; a XOR share of each output bit. Who is sent all shares of an output learns it |
//!
//! Steps: each owner shares its inputs ([`share_input`], 32 bytes to each other party); triples are made ahead ([`TripleMaker`], two rounds, on
//! transfers between every two parties, which [`Transfers`] extends in one round more); [`Evaluation`] opens two bits per AND. Bytes that all n parties together send per AND and instance, with a correlated transfer of c bytes
//! (16 with IKNP, 4 with a SoftSpoken extension at k = 4), besides rounding rows up to whole bytes:
//!
//! | what | bytes | 3 parties, IKNP | 3 parties, SoftSpoken |
//! |---|---|---|---|
//! | transfers | n(n-1) c | 96 | 24 |
//! | triples: choices and masks | n(n-1) 2/8 | 1.5 | 1.5 |
//! | opening | n(n-1) 2/8 | 1.5 | 1.5 |
//! | sum | | 99 | 27 |
//!
//! Triples may fit a circuit ([`Circuit::transfers`](crate::circuit::Circuit::transfers)): ANDs of one layer with an operand in common have one b, so that one transfer carries the bits a
//! of up to 64, and the operand is opened once; and where inputs are shared as their owner's word and zeros, a party has no mask for an operand to which
//! none of its words matter, and takes no part in the product. [`crate::nonlinear`] takes such triples; those of [`TripleMaker::start`] fit all circuits and
//! sharings.
//!
//! Non-goals: malicious parties.

mod evaluation;
mod sharing;
mod transfers;
mod triples;

#[cfg(test)]
mod tests;

pub use evaluation::{Evaluation, Opening, Step};
pub use sharing::{Seed, expand_share, share_input};
pub use transfers::{Extending, Messages, TransferPoints, TransferSetup, TransferSums, Transfers};
pub use triples::{Masking, TripleMaker, Triples};

use crate::{MpcError, circuit::Party};

/// The most parties.
pub const MAX_PARTIES: usize = 64;

fn check_parties(party: Party, parties: usize) -> Result<(), MpcError> {
    let count = |what, min, max, actual| {
        if (min..=max).contains(&actual) {
            return Ok(());
        }
        Err(MpcError::Count { what, min, max, actual })
    };
    count("parties", 2, MAX_PARTIES, parties)?;
    count("as the party's number", 0, parties - 1, party.0.into())
}

/// The other parties in the order in which messages to and from them stand.
fn peers(party: Party, parties: usize) -> impl Iterator<Item = u8> {
    (0..parties as u8).filter(move |peer| *peer != party.0)
}
