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
    /// The other servers, from 1, in the order of names; at least two.
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
    /// The job's digest.
    pub job: [u8; 32],
}

impl Terms {
    /// All servers, the gateway first.
    pub fn servers(&self) -> impl Iterator<Item = &Party> {
        [&self.gateway].into_iter().chain(&self.remotes)
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
        let mut all = vec![
            Leak::new(user, output),
            Leak::new(
                self.gateway.as_str(),
                "who asks, when, and how often; the shapes of all layers; no input, no output, no weight",
            ),
        ];
        let remote = "how often somebody asks, and when; the shapes of all layers; no input, no output, no weight";
        all.extend(self.remotes.iter().map(|server| Leak::new(server.as_str(), remote)));
        let together = "if all of them put together what they have: the weights, every input and every output";
        let servers: Vec<&str> = self.servers().map(Party::as_str).collect();
        all.push(Leak::new(&servers.join(", "), together));
        all
    }
}
