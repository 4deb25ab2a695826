//! The wire form of whole polynomials: residues, prime after prime, bit-packed, each checked on arrival.

use cloven_ring::{Domain, Poly, RnsBasis};

use crate::{
    LatticeError,
    bits::{pack, packed_len, unpack},
};

/// The length in bytes of a polynomial sent without its `dropped` lowest bits.
pub(crate) fn residues_len(basis: &RnsBasis, dropped: u32) -> usize {
    let of_prime = |bits: u32| packed_len(basis.degree(), bits - dropped);
    basis.moduli().iter().map(|m| of_prime(m.bits())).sum()
}

/// Appends the residues without their `dropped` lowest bits.
pub(crate) fn write_residues<D: Domain>(poly: &Poly<D>, dropped: u32, out: &mut Vec<u8>) {
    for (prime, modulus) in poly.basis().moduli().iter().enumerate() {
        let kept: Vec<u64> = poly.residues(prime).iter().map(|c| c >> dropped).collect();
        pack(&kept, modulus.bits() - dropped, out);
    }
}

/// Reads what [`write_residues`] wrote; a residue that is not reduced is an error.
pub(crate) fn read_residues<D: Domain>(basis: &RnsBasis, dropped: u32, bytes: &[u8]) -> Result<Poly<D>, LatticeError> {
    check_len(residues_len(basis, dropped), bytes)?;
    let mut poly = Poly::zero(basis);
    let mut rest = bytes;
    for (prime, modulus) in basis.moduli().iter().enumerate() {
        let bits = modulus.bits() - dropped;
        let (packed, tail) = rest.split_at(packed_len(basis.degree(), bits));
        rest = tail;
        let residues = poly.residues_mut(prime);
        for (position, value) in unpack(packed, bits, basis.degree())?.into_iter().enumerate() {
            let residue = value << dropped;
            if residue >= modulus.value() {
                return Err(LatticeError::Coefficient {
                    position,
                    modulus: modulus.value(),
                    actual: residue,
                });
            }
            // The middle of the values that were rounded to this one, if it is one.
            residues[position] = (residue + ((1 << dropped) >> 1)).min(modulus.value() - 1);
        }
    }
    Ok(poly)
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
