//! The wire form of whole polynomials: residues, prime after prime, bit-packed, each checked on arrival.

use cloven_ring::{Domain, Poly, RnsBasis};

use crate::{
    LatticeError,
    bits::{pack, packed_len, unpack_into},
};

/// The length in bytes of a polynomial sent without its `dropped` lowest bits.
pub(crate) fn residues_len(basis: &RnsBasis, dropped: u32) -> usize {
    let of_prime = |bits: u32| packed_len(basis.degree(), bits - dropped);
    basis.moduli().iter().map(|m| of_prime(m.bits())).sum()
}

/// Appends the residues without their `dropped` lowest bits.
pub(crate) fn write_residues<D: Domain>(poly: &Poly<D>, dropped: u32, out: &mut Vec<u8>) {
    for (prime, modulus) in poly.basis().moduli().iter().enumerate() {
        let residues = poly.residues(prime);
        match dropped {
            0 => pack(residues, modulus.bits(), out),
            _ => {
                let kept: Vec<u64> = residues.iter().map(|c| c >> dropped).collect();
                pack(&kept, modulus.bits() - dropped, out);
            }
        }
    }
}

/// Reads what [`write_residues`] wrote; a residue that is not reduced is an error.
pub(crate) fn read_residues<D: Domain>(basis: &RnsBasis, dropped: u32, bytes: &[u8]) -> Result<Poly<D>, LatticeError> {
    let mut poly = Poly::zero(basis);
    read_residues_into(basis, dropped, bytes, &mut poly)?;
    Ok(poly)
}

/// The same into the memory of a polynomial of this basis.
pub(crate) fn read_residues_into<D: Domain>(
    basis: &RnsBasis,
    dropped: u32,
    bytes: &[u8],
    poly: &mut Poly<D>,
) -> Result<(), LatticeError> {
    check_len(residues_len(basis, dropped), bytes)?;
    let mut rest = bytes;
    for (prime, modulus) in basis.moduli().iter().enumerate() {
        let bits = modulus.bits() - dropped;
        let (packed, tail) = rest.split_at(packed_len(basis.degree(), bits));
        rest = tail;
        let residues = poly.residues_mut(prime);
        unpack_into(packed, bits, residues)?;
        // The largest value that stands for reduced residues.
        let largest = (modulus.value() - 1) >> dropped;
        if let Some(position) = first_above(residues, largest) {
            return Err(LatticeError::Coefficient {
                position,
                modulus: modulus.value(),
                actual: residues[position] << dropped,
            });
        }
        if dropped > 0 {
            // The middle of the values that were rounded to this one, if it is one.
            let middle = (1 << dropped) >> 1;
            residues
                .iter_mut()
                .for_each(|residue| *residue = ((*residue << dropped) + middle).min(modulus.value() - 1));
        }
    }
    Ok(())
}

/// The first value above `largest`; nearly always there is none, which takes one pass without a branch.
fn first_above(values: &[u64], largest: u64) -> Option<usize> {
    // Packed values are below 2^63: the sign of the difference is the comparison.
    match values.iter().fold(0, |any, &value| any | largest.wrapping_sub(value)) >> 63 {
        0 => None,
        _ => values.iter().position(|&value| value > largest),
    }
}

/// Refuses bytes of another length.
pub(crate) fn check_len(expected: usize, bytes: &[u8]) -> Result<(), LatticeError> {
    match bytes.len() == expected {
        true => Ok(()),
        false => Err(LatticeError::Length {
            expected,
            actual: bytes.len(),
        }),
    }
}
