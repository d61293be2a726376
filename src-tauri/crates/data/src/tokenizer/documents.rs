//! Raw text to go on pretraining with: every token is learnt.

use crate::{Error, Result, Sample, Tokenizer};

/// How documents become samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Documents {
    /// End to end, parted by the token that ends a text, and cut into samples of one length:
    /// nothing is left empty, and a sample may hold the end of one document and the beginning of
    /// the next, which sees it.
    Joined,
    /// Each by itself; a long one in several samples.
    Separate,
}

impl Tokenizer {
    /// Samples of at most `max_length` tokens, two or more. A sample that goes on with the text of
    /// the one before begins with its last token, so that every token but a text's first is learnt
    /// once, the one that ends a text included.
    pub fn document_samples<S: AsRef<str>>(
        &self,
        documents: impl IntoIterator<Item = S>,
        max_length: usize,
        how: Documents,
    ) -> Result<Vec<Sample>> {
        let max_length = max_length.max(2);
        let mut samples = Vec::new();
        let mut stream: Vec<u32> = Vec::new();
        let mut tokens = 0;
        for document in documents {
            stream.extend(self.encode_text(document.as_ref())?);
            stream.extend(self.eos_token());
            tokens += stream.len();
            cut(&mut stream, max_length, &mut samples);
            if how == Documents::Separate {
                rest(&mut stream, &mut samples);
            }
        }
        rest(&mut stream, &mut samples);
        if samples.is_empty() {
            return Err(Error::NothingTrained { tokens, max_length });
        }
        Ok(samples)
    }
}

/// Takes whole samples off the front of `stream`; their last token stays.
fn cut(stream: &mut Vec<u32>, max_length: usize, samples: &mut Vec<Sample>) {
    let mut start = 0;
    while stream.len() - start > max_length {
        samples.push(learnt(&stream[start..start + max_length]));
        start += max_length - 1;
    }
    stream.drain(..start);
}

/// Makes what is left a sample, if there is anything to learn in it.
fn rest(stream: &mut Vec<u32>, samples: &mut Vec<Sample>) {
    if stream.len() > 1 {
        samples.push(learnt(stream));
    }
    stream.clear();
}

fn learnt(tokens: &[u32]) -> Sample {
    Sample {
        tokens: tokens.to_vec(),
        loss_mask: vec![true; tokens.len()],
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::tokenizer::fixture::bytes;

    fn tokens(samples: &[Sample]) -> Vec<Vec<u32>> {
        samples.iter().map(|sample| sample.tokens.clone()).collect()
    }

    /// What each sample predicts, end to end.
    fn predicted(samples: &[Sample]) -> Vec<u32> {
        samples
            .iter()
            .flat_map(|sample| sample.tokens[1..].to_vec())
            .collect()
    }

    #[test]
    fn every_token_is_learnt_once() {
        let tokenizer = bytes(&["<|end|>"], None, "<|end|>", None);
        let end = tokenizer.eos_token().unwrap();
        let documents = ["abcdefg", "hi", "jklm"];
        let text = |text: &str| tokenizer.encode(text, false).unwrap();
        let whole: Vec<u32> = documents
            .iter()
            .flat_map(|document| [text(document), vec![end]].concat())
            .collect();
        for length in 2..20 {
            let joined = tokenizer
                .document_samples(documents, length, Documents::Joined)
                .unwrap();
            assert_eq!(predicted(&joined), whole[1..], "{length}");
            assert!(
                joined
                    .iter()
                    .all(|sample| (2..=length).contains(&sample.len()))
            );
            assert!(
                joined[..joined.len() - 1]
                    .iter()
                    .all(|sample| sample.len() == length)
            );
            let separate = tokenizer
                .document_samples(documents, length, Documents::Separate)
                .unwrap();
            let each = documents.map(|document| [&text(document)[1..], &[end]].concat());
            assert_eq!(predicted(&separate), each.concat(), "{length}");
        }
        let alone = tokenizer
            .document_samples(documents, 99, Documents::Separate)
            .unwrap();
        assert_eq!(tokens(&alone)[1], [text("hi"), vec![end]].concat());
        let nothing = tokenizer.document_samples([""], 9, Documents::Joined);
        assert!(matches!(nothing, Err(Error::NothingTrained { .. })));
    }
}
