//! What a model folder says about its tokenizer.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokenizers::AddedToken;

use super::{Guard, Tokenizer};
use crate::{ChatTemplate, Conversation, Error, Result, Role, TemplateOrigin, Turn};

/// The closing marker of ChatML.
const IM_END: &str = "<|im_end|>";

/// What a model's files say about its tokenizer.
pub(super) struct Sources {
    pub(super) inner: tokenizers::Tokenizer,
    /// `tokenizer_config.json`
    pub(super) tokenizer_config: Option<Value>,
    /// `special_tokens_map.json`
    pub(super) map: Option<Value>,
    /// `generation_config.json` and `config.json`
    pub(super) models: Vec<Value>,
    /// The chat template, and the file it is in.
    pub(super) template: Option<(PathBuf, String)>,
}

pub(super) fn read(folder: &Path) -> Result<Tokenizer> {
    let tokenizer_config = json(&folder.join("tokenizer_config.json"))?;
    let models = ["generation_config.json", "config.json"].map(|name| json(&folder.join(name)));
    let models: Result<Vec<_>> = models.into_iter().collect();
    build(Sources {
        inner: load(&folder.join("tokenizer.json"))?,
        map: json(&folder.join("special_tokens_map.json"))?,
        models: models?.into_iter().flatten().collect(),
        template: template_source(folder, tokenizer_config.as_ref())?,
        tokenizer_config,
    })
}

pub(super) fn build(sources: Sources) -> Result<Tokenizer> {
    let Sources {
        mut inner,
        tokenizer_config,
        map,
        models,
        template,
    } = sources;
    let bare = tokenizer_config.is_none() && map.is_none();
    let sources = [tokenizer_config.as_ref(), map.as_ref()];
    // The ids of a model's configuration only speak for the tokenizer where that is silent: Qwen2
    // names a `bos_token_id` that its tokenizer does not have.
    let special = |name: &str| {
        let id = || {
            models
                .iter()
                .flat_map(|config| ids(config, &format!("{name}_id")))
                .next()
        };
        let named = sources
            .into_iter()
            .flatten()
            .find_map(|source| token_text(source.get(name)?));
        named.or_else(|| if bare { inner.id_to_token(id()?) } else { None })
    };
    let (bos_text, eos_text) = (special("bos_token"), special("eos_token"));
    for text in [&bos_text, &eos_text].into_iter().flatten() {
        if inner.token_to_id(text).is_some() {
            inner
                .add_special_tokens([AddedToken::from(text.as_str(), true)])
                .map_err(super::failed)?;
        }
    }

    let id = |text: &Option<String>| text.as_deref().and_then(|text| inner.token_to_id(text));
    let (bos_token, eos_token) = (id(&bos_text), id(&eos_text));
    let added = inner.get_added_tokens_decoder();
    let special = added.iter().filter(|(_, token)| token.special);
    let special_tokens: HashSet<u32> = special.clone().map(|(&id, _)| id).collect();
    let guard = Guard::new(special.map(|(_, token)| token.content.as_str()));
    let vocab_size = inner
        .get_vocab(true)
        .into_values()
        .max()
        .map_or(0, |highest| highest as usize + 1);
    let template = match template {
        Some((path, source)) => ChatTemplate::new(
            &source,
            TemplateOrigin::Model,
            bos_text.as_deref().unwrap_or_default(),
            eos_text.as_deref().unwrap_or_default(),
        )?
        .with_path(path),
        None => chat_ml(&inner, bos_text.as_deref(), eos_text.as_deref())?,
    };
    let mut stop_tokens: Vec<u32> = eos_token.into_iter().collect();
    stop_tokens.extend(models.iter().flat_map(|config| ids(config, "eos_token_id")));

    let mut tokenizer = Tokenizer {
        inner,
        template,
        guard,
        special_tokens,
        bos_token,
        eos_token,
        stop_tokens,
        vocab_size,
    };
    let closing = closing_token(&tokenizer);
    tokenizer.stop_tokens.extend(closing);
    tokenizer.stop_tokens.sort_unstable();
    tokenizer.stop_tokens.dedup();
    Ok(tokenizer)
}

fn load(path: &Path) -> Result<tokenizers::Tokenizer> {
    let unusable = |reason: String| Error::Tokenizer {
        path: path.to_owned(),
        reason,
    };
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(unusable(
                "the model folder has no tokenizer.json".to_owned(),
            ));
        }
        Err(error) => return Err(Error::io(path, "read", error)),
    };
    let broken = |error: tokenizers::Error| unusable(format!("not a usable tokenizer: {error}"));
    let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(broken)?;
    // Lengths are decided by whoever asks, not by what the tokenizer was once saved with.
    inner.with_truncation(None).map_err(broken)?;
    inner.with_padding(None);
    Ok(inner)
}

fn text(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path, "read", error)),
    }
}

fn json(path: &Path) -> Result<Option<Value>> {
    let Some(text) = text(path)? else {
        return Ok(None);
    };
    let broken = |error: serde_json::Error| Error::Tokenizer {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    serde_json::from_str(&text).map(Some).map_err(broken)
}

/// A token as configuration files name it: its text, or an object that holds it.
fn token_text(value: &Value) -> Option<String> {
    value
        .as_str()
        .or_else(|| value.get("content")?.as_str())
        .map(str::to_owned)
}

/// One token id, or a list of them.
fn ids(config: &Value, key: &str) -> Vec<u32> {
    let value = &config[key];
    let one = std::slice::from_ref(value);
    value
        .as_array()
        .map_or(one, Vec::as_slice)
        .iter()
        .filter_map(Value::as_u64)
        .map(|id| id as u32)
        .collect()
}

fn template_source(
    folder: &Path,
    tokenizer_config: Option<&Value>,
) -> Result<Option<(PathBuf, String)>> {
    let path = folder.join("chat_template.jinja");
    if let Some(source) = text(&path)? {
        return Ok(Some((path, source)));
    }
    if let Some(source) =
        tokenizer_config.and_then(|config| named_template(&config["chat_template"]))
    {
        return Ok(Some((folder.join("tokenizer_config.json"), source)));
    }
    let path = folder.join("chat_template.json");
    let processor = json(&path)?;
    let source = processor.and_then(|processor| named_template(&processor["chat_template"]));
    Ok(source.map(|source| (path, source)))
}

/// A template, or the default one of several with names.
fn named_template(value: &Value) -> Option<String> {
    if let Some(source) = value.as_str() {
        return Some(source.to_owned());
    }
    let templates = value.as_array()?;
    let default = templates
        .iter()
        .find(|template| template["name"] == "default");
    default.or(templates.first())?["template"]
        .as_str()
        .map(str::to_owned)
}

/// ChatML for a model without a template. Its closing marker has to be one token, or the model
/// could not learn to stop; where the vocabulary lacks it, the text's end token closes each turn.
fn chat_ml(
    inner: &tokenizers::Tokenizer,
    bos: Option<&str>,
    eos: Option<&str>,
) -> Result<ChatTemplate> {
    let end = if inner.token_to_id(IM_END).is_some() {
        IM_END
    } else {
        eos.unwrap_or(IM_END)
    };
    let first = |add| {
        inner
            .encode("a", add)
            .map(|encoding| encoding.get_ids().first().copied())
    };
    let starts = bos.filter(|bos| {
        let id = inner.token_to_id(bos);
        matches!((first(true), first(false)), (Ok(with), Ok(without)) if with == id && without != id)
    });
    ChatTemplate::chat_ml(starts.unwrap_or_default(), end)
}

/// The special token by which the template ends an assistant's turn. Base models name the end of
/// a text as their stop token, while their template ends turns by another. A template that
/// refuses this conversation only loses the guess.
fn closing_token(tokenizer: &Tokenizer) -> Option<u32> {
    let turns = vec![
        Turn::new(Role::User, "Hello"),
        Turn::new(Role::Assistant, "Hello"),
    ];
    let sample = tokenizer.sample(&Conversation { turns }, usize::MAX).ok()?;
    let last = sample.loss_mask.iter().rposition(|trained| *trained)?;
    Some(sample.tokens[last]).filter(|token| tokenizer.special_tokens.contains(token))
}
