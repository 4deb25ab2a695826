//! What every party knows of a service, and what each learns by it.

use cloven_wire::Party;

use crate::Leak;

/// How the layers that are no sums are evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// On shared bits (GMW): least bytes, a round for each layer of AND gates.
    Boolean,
    /// As `Boolean` with circuits of logarithmic depth: fewer rounds, more bytes.
    BooleanLowDepth,
    /// Garbled by all servers but the last, which evaluates (BMR): a constant number of rounds, most bytes.
    Garbled,
}

/// What the user gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// The network's outputs.
    Scores,
    /// The number of the largest output, and nothing else.
    ArgMax,
}

/// What every party knows of a service, the user included: nothing of the layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// Talks with the users; server 0.
    pub gateway: Party,
    /// The other servers, from 1, in the order of names; at least two, or none.
    pub remotes: Vec<Party>,
    /// Values of an input.
    pub inputs: usize,
    /// Outputs of the network.
    pub outputs: usize,
    /// Words are modulo 2 to this.
    pub ring_bits: u32,
    /// Bits after the point of inputs.
    pub fraction_bits: u32,
    /// Bits after the point of outputs.
    pub score_bits: u32,
    /// What the user gets.
    pub output: Output,
    /// How activations are evaluated.
    pub engine: Engine,
    /// So many of the network's first layers are the gateway's, which has their weights in the clear. Without remote servers all are, whatever this says.
    pub gateway_layers: usize,
    /// Most numbers that are decrypted under one collective key: [`REVEALED`](Self::REVEALED), or fewer. Before there are more, the servers make another key.
    pub revealed: u64,
    /// The job's digest.
    pub job: [u8; 32],
}

impl Terms {
    /// How many numbers may be decrypted under one collective key, for decryptions to tell nothing of it to a statistical distance of 2^-40.
    pub const REVEALED: u64 = 1 << 30;

    /// All servers, the gateway first.
    pub fn servers(&self) -> impl Iterator<Item = &Party> {
        [&self.gateway].into_iter().chain(&self.remotes)
    }

    /// Whether some layers are between the gateway and the user.
    pub fn has_first_layers(&self) -> bool {
        self.gateway_layers > 0 || self.remotes.is_empty()
    }

    /// The number of a server.
    pub(super) fn number(&self, party: &Party) -> Option<usize> {
        self.servers().position(|server| server == party)
    }

    /// Words of each server's share of the answer.
    pub(super) fn answer_words(&self) -> usize {
        match self.output {
            Output::Scores => self.outputs,
            Output::ArgMax => 1,
        }
    }

    /// What each party learns.
    pub fn leaks(&self, user: &str) -> Vec<Leak> {
        let output = match self.output {
            Output::Scores => {
                "the network's outputs for its own input; with many inputs they can be used to train a copy of the network"
            }
            Output::ArgMax => "which of the network's outputs is the largest for its own input",
        };
        let (shapes, weights) = match (self.remotes.is_empty(), self.gateway_layers) {
            (true, _) => ("the shapes of all layers", "all weights"),
            (false, 0) => ("the shapes of all layers", "no weight"),
            (false, _) => ("the shapes of all layers", "the weights of the first layers and no other"),
        };
        let gateway = format!("who asks, when, and how often; {shapes}; {weights}; no input, no output");
        let mut all = vec![Leak::new(user, output), Leak::new(self.gateway.as_str(), &gateway)];
        if self.has_first_layers() {
            let layers = match self.remotes.is_empty() {
                true => "the shapes of all layers; no weight".to_owned(),
                false => format!("the shapes of the first {} layers; no weight", self.gateway_layers),
            };
            all.push(Leak::new(user, &layers));
        }
        if self.remotes.is_empty() {
            return all;
        }
        let part = if self.gateway_layers > 0 {
            "all other layers"
        } else {
            "all layers"
        };
        let remote = format!("how often somebody asks, and when; the shapes of {part}; no input, no output, no weight");
        all.extend(self.remotes.iter().map(|server| Leak::new(server.as_str(), &remote)));
        let together = match self.gateway_layers {
            0 => "if all of them put together what they have: the weights, every input and every output",
            _ => {
                "if all of them put together what they have: the weights, what leaves the gateway's layers for every input, and every output"
            }
        };
        let servers: Vec<&str> = self.servers().map(Party::as_str).collect();
        all.push(Leak::new(&servers.join(", "), together));
        all
    }
}
