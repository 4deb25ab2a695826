//! AES-128 on many words: the permutation and pseudorandom function below all hashes and streams. Words are blocks in little-endian order.
//!
//! Where the machine has AES on 512-bit vectors, words go through a loop of our own, which takes a third of the time of the `aes` crate's (its loads and stores
//! of a batch are not inlined); anywhere else through that crate, which is also what the loop is tested against.

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod vaes;

use aes::{
    Aes128Enc,
    cipher::{Array, BlockCipherEncrypt, KeyInit},
};

/// One key, expanded. Wiped on drop.
#[derive(Clone)]
pub(crate) struct Cipher(Kind);

#[derive(Clone)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Wide(vaes::Cipher),
    Portable(Box<Aes128Enc>),
}

impl Cipher {
    pub(crate) fn new(key: [u8; 16]) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(cipher) = vaes::Cipher::new(key) {
            return Self(Kind::Wide(cipher));
        }
        Self::portable(key)
    }

    fn portable(key: [u8; 16]) -> Self {
        Self(Kind::Portable(Box::new(Aes128Enc::new(&Array(key)))))
    }

    /// Encrypts every word.
    pub(crate) fn encrypt(&self, words: &mut [u128]) {
        match &self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Wide(cipher) => cipher.encrypt(words),
            Kind::Portable(cipher) => {
                // Both loops are nothing on a machine whose words are little-endian.
                words.iter_mut().for_each(|word| *word = word.to_le());
                let blocks = bytemuck::cast_slice_mut::<u128, [u8; 16]>(words);
                cipher.encrypt_blocks(Array::cast_slice_from_core_mut(blocks));
                words.iter_mut().for_each(|word| *word = u128::from_le(*word));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_block_of_the_standard() {
        // FIPS 197, appendix B.
        let key = 0x2b7e_1516_28ae_d2a6_abf7_1588_09cf_4f3c_u128.to_be_bytes();
        let plain = u128::from_le_bytes(0x3243_f6a8_885a_308d_3131_98a2_e037_0734_u128.to_be_bytes());
        let expected = u128::from_le_bytes(0x3925_841d_02dc_09fb_dc11_8597_196a_0b32_u128.to_be_bytes());
        for cipher in [Cipher::new(key), Cipher::portable(key)] {
            for count in [1, 2, 33, 64] {
                let mut words = vec![plain; count];
                cipher.encrypt(&mut words);
                assert!(words.iter().all(|word| *word == expected));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn both_kinds_agree(key in any::<[u8; 16]>(), words in prop::collection::vec(any::<u128>(), 0..140)) {
            let (mut fast, mut slow) = (words.clone(), words);
            Cipher::new(key).encrypt(&mut fast);
            Cipher::portable(key).encrypt(&mut slow);
            prop_assert_eq!(fast, slow);
        }
    }
}
