//! The log-probability of each token given those before it.

use crate::Studio;
use crate::api::{Score, ScoreRequest, Session};
use crate::error::{Error, Result};
use crate::weights::{Files, with_loaded};

/// Scores the tokens or the text of the request.
pub(crate) fn score(
    studio: &Studio,
    request: ScoreRequest,
    session: &mut Session<'_>,
) -> Result<Score> {
    if request.tokens.is_some() == request.text.is_some() {
        return Err(Error::new(
            "score-input",
            "either tokens or a text must be given, and not both",
        )
        .with_remedy("Use `--tokens 1,2,3` or `--text \"…\"`."));
    }
    let files = Files::find(studio, &request.weights)?;
    with_loaded(studio, &files, session, |loaded, _| {
        let tokens = match (request.tokens, request.text) {
            (Some(tokens), _) => tokens,
            (None, text) => loaded.tokenizer.encode(&text.unwrap_or_default(), true)?,
        };
        if tokens.is_empty() {
            return Err(Error::new("score-input", "there is no token to score")
                .with_remedy("Give at least one token."));
        }
        let scores = attune_engine::score(&loaded.decoder, &tokens)?;
        let logprobs = std::iter::once(None)
            .chain(scores.into_iter().map(Some))
            .collect();
        Ok(Score { tokens, logprobs })
    })
}
