//! temporary
use super::*;
use crate::Ciphertext;
impl WeightProduct {
    /// Bytes
    pub fn held_len(&self) -> usize { 8 + self.input_blocks()*self.output_blocks()*Ciphertext::encoded_len(&self.parameters) }
    /// enc
    pub fn encode_held(&self, w: &EncryptedWeights) -> Vec<u8> {
        let mut out = w.energy.to_le_bytes().to_vec();
        w.blocks.iter().for_each(|b| b.encode(&mut out));
        out
    }
    /// dec
    pub fn decode_held(&self, bytes: &[u8]) -> Result<EncryptedWeights, LatticeError> {
        check_len(self.held_len(), bytes)?;
        let (e, rest) = bytes.split_at(8);
        let mut a=[0;8]; a.copy_from_slice(e);
        let blocks = rest.chunks(Ciphertext::encoded_len(&self.parameters)).map(|c| Ciphertext::decode(&self.parameters, c)).collect::<Result<_,_>>()?;
        Ok(EncryptedWeights{blocks, energy: f64::from_le_bytes(a)})
    }
    /// dec
    pub fn decrypt_weights(&self, w: &EncryptedWeights, secret: &SecretKey) -> Result<Vec<f64>, LatticeError> {
        let mut m = vec![0.0; self.inputs*self.outputs];
        let modulus = self.parameters.basis().moduli()[0];
        for r in 0..self.output_blocks() { for q in 0..self.input_blocks() {
            let p = secret.decrypt(&w.blocks[r*self.input_blocks()+q])?;
            for b in 0..self.block_inputs() { let i=q*self.block_inputs()+b; if i>=self.inputs {break;}
              for j in 0..self.width(r) { m[i*self.outputs + r*self.block_outputs + j] = modulus.centred(p.residues(0)[j+b*self.block_outputs]) as f64 * 2f64.powi(-(self.scales.weight as i32)); } }
        }}
        Ok(m)
    }
}
