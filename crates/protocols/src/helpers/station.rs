//! A party's side: one helper's work, and what it must be told for it.

use super::{
    Helpers, NoAnswer, Request,
    helper::{DONE, REFUSED},
};
use crate::ProtocolError;

/// Helpers that are lost one after the other before one has answered; then something is wrong with all of them.
const LOSSES: usize = 5;

/// Where some work is done: a helper, and whether it knows what it has to.
pub(crate) struct Station<'h> {
    helpers: &'h dyn Helpers,
    helper: usize,
    /// Tells what helpers hold for this station from what they hold for others.
    of: usize,
    told: bool,
}

impl<'h> Station<'h> {
    /// Station number `of` of the party, at the helper whose turn it is.
    pub fn new(helpers: &'h dyn Helpers, of: usize) -> Self {
        Self {
            helpers,
            helper: of % helpers.count().max(1),
            of,
            told: false,
        }
    }

    /// What the helper was told does not hold any more.
    pub fn forget(&mut self) {
        self.told = false;
    }

    /// The answer to a request, of a helper that has been told `before` first.
    ///
    /// # Errors
    /// [`ProtocolError::Helper`] if it refuses, or if one after the other is lost.
    pub async fn ask(&mut self, before: &[Request<'_>], request: &Request<'_>) -> Result<Vec<u8>, ProtocolError> {
        let mut why = String::new();
        for _ in 0..LOSSES {
            match self.attempt(before, request).await? {
                Ok(answer) => return Ok(answer),
                Err(lost) => (self.told, why) = (false, lost),
            }
        }
        Err(self.failed(format!("{LOSSES} were lost, the last: {why}")))
    }

    /// The inner error is why the helper was lost.
    async fn attempt(&mut self, before: &[Request<'_>], request: &Request<'_>) -> Result<Result<Vec<u8>, String>, ProtocolError> {
        if !self.told {
            for request in before {
                if let Err(lost) = self.answered(request).await? {
                    return Ok(Err(lost));
                }
            }
            self.told = true;
        }
        self.answered(request).await
    }

    async fn answered(&self, request: &Request<'_>) -> Result<Result<Vec<u8>, String>, ProtocolError> {
        let mut answer = match self.helpers.ask(self.helper, &request.encode(self.of)).await {
            Ok(answer) => answer,
            Err(NoAnswer::Lost(why)) => return Ok(Err(why)),
            Err(NoAnswer::Unavailable(why)) => return Err(self.failed(why)),
        };
        match answer.pop() {
            Some(DONE) => Ok(Ok(answer)),
            Some(REFUSED) => Err(self.failed(String::from_utf8_lossy(&answer).into_owned())),
            // It took the place of one that was lost when somebody else asked.
            _ => Ok(Err("it knows nothing of this work".into())),
        }
    }

    fn failed(&self, why: String) -> ProtocolError {
        ProtocolError::Helper {
            helper: self.helper,
            why,
        }
    }
}
