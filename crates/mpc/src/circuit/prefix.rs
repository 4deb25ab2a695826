//! Carries of an addition: one after another, or by a parallel prefix.

use super::{Bit, Builder, Goal, Word};

impl Builder {
    /// The carries c_0 = `carry`, c_1, ..., c_k of left + right + carry. What the circuit does not use of them costs nothing.
    pub(super) fn carries(&mut self, left: &[Bit], right: &[Bit], carry: Bit) -> Word {
        assert_eq!(left.len(), right.len(), "words of one width");
        match self.goal() {
            Goal::FewAnds => self.ripple(left, right, carry),
            Goal::LowDepth => self.sklansky(left, right, carry),
        }
    }

    /// The majority of three bits with one AND: c ^ (a ^ c)(b ^ c) (Boyar, Peralta, Pochuev 2000).
    pub(super) fn majority(&mut self, a: Bit, b: Bit, c: Bit) -> Bit {
        let (left, right) = (self.xor(a, c), self.xor(b, c));
        let both = self.and(left, right);
        self.xor(c, both)
    }

    fn ripple(&mut self, left: &[Bit], right: &[Bit], mut carry: Bit) -> Word {
        let mut carries = vec![carry];
        for (left, right) in left.iter().zip(right) {
            carry = self.majority(*left, *right, carry);
            carries.push(carry);
        }
        carries
    }

    /// Sklansky 1960: in round l, bit i with bit l of its place set joins the group that ends just below its block of 2^l.
    fn sklansky(&mut self, left: &[Bit], right: &[Bit], carry: Bit) -> Word {
        let mut generate = self.zip(left, right, Self::and);
        let mut propagate = self.xor_words(left, right);
        if let (Some(generate), Some(left), Some(right)) = (generate.first_mut(), left.first(), right.first()) {
            *generate = self.majority(*left, *right, carry);
            // Bits joined with bit 0 need no propagation.
            propagate[0] = Bit::ZERO;
        }
        let mut block = 1;
        while block < left.len() {
            for high in (0..left.len()).filter(|place| place & block != 0) {
                let low = (high & !(block - 1)) - 1;
                // Generating and propagating exclude each other, so OR is XOR.
                let passed = self.and(propagate[high], generate[low]);
                generate[high] = self.xor(generate[high], passed);
                propagate[high] = self.and(propagate[high], propagate[low]);
            }
            block *= 2;
        }
        std::iter::once(carry).chain(generate).collect()
    }
}
