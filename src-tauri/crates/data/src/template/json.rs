//! `tojson` as transformers defines it: Python's `json.dumps` without escapes for HTML or for
//! letters outside ASCII.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

#[expect(
    clippy::needless_pass_by_value,
    reason = "minijinja hands filters owned arguments"
)]
/// The filter. `ensure_ascii`, `sort_keys` and unknown arguments are accepted where they change
/// nothing, and refused otherwise.
pub(super) fn tojson(
    value: &Value,
    indent: Option<Value>,
    options: Kwargs,
) -> Result<Value, Error> {
    let indent = match indent.filter(|indent| !indent.is_none()) {
        Some(indent) => Some(indent),
        None => options
            .get::<Option<Value>>("indent")?
            .filter(|indent| !indent.is_none()),
    };
    let indent = indent.map(usize::try_from).transpose()?;
    if indent.is_some_and(|spaces| spaces > 16) {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "tojson: indent above 16",
        ));
    }
    if options.get::<Option<bool>>("ensure_ascii")? == Some(true) {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "tojson: ensure_ascii is not supported",
        ));
    }
    let sort_keys = options.get::<Option<bool>>("sort_keys")? == Some(true);
    let separators = options.get::<Option<Vec<String>>>("separators")?;
    options.assert_all_used()?;
    let (item, key) = match separators.as_deref() {
        Some([item, key]) => (item.clone(), key.clone()),
        Some(_) => {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "tojson: separators are a pair",
            ));
        }
        None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        None => (", ".to_owned(), ": ".to_owned()),
    };
    let mut writer = Writer {
        text: String::new(),
        indent,
        sort_keys,
        item,
        key,
    };
    writer.value(value, 0)?;
    Ok(Value::from_safe_string(writer.text))
}

struct Writer {
    text: String,
    indent: Option<usize>,
    sort_keys: bool,
    item: String,
    key: String,
}

impl Writer {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        match value.kind() {
            ValueKind::None => self.text.push_str("null"),
            ValueKind::Bool => self
                .text
                .push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.text.push_str(&value.to_string()),
            ValueKind::String => self.string(value.as_str().unwrap_or_default())?,
            ValueKind::Seq | ValueKind::Iterable => self.list(value, depth)?,
            ValueKind::Map => self.map(value, depth)?,
            other => {
                let reason = format!("tojson: {other} is not JSON");
                return Err(Error::new(ErrorKind::InvalidOperation, reason));
            }
        }
        Ok(())
    }

    fn string(&mut self, text: &str) -> Result<(), Error> {
        let quoted = serde_json::to_string(text).map_err(|error| {
            Error::new(ErrorKind::BadSerialization, "tojson").with_source(error)
        })?;
        self.text.push_str(&quoted);
        Ok(())
    }

    fn list(&mut self, list: &Value, depth: usize) -> Result<(), Error> {
        self.text.push('[');
        let mut empty = true;
        for value in list.try_iter()? {
            self.separate(&mut empty, depth + 1);
            self.value(&value, depth + 1)?;
        }
        self.close(']', empty, depth);
        Ok(())
    }

    fn map(&mut self, map: &Value, depth: usize) -> Result<(), Error> {
        self.text.push('{');
        let mut keys: Vec<Value> = map.try_iter()?.collect();
        if self.sort_keys {
            keys.sort();
        }
        let mut empty = true;
        for key in keys {
            self.separate(&mut empty, depth + 1);
            self.string(&key.to_string())?;
            self.text.push_str(&self.key);
            self.value(&map.get_item(&key)?, depth + 1)?;
        }
        self.close('}', empty, depth);
        Ok(())
    }

    fn separate(&mut self, first: &mut bool, depth: usize) {
        if !std::mem::take(first) {
            self.text.push_str(&self.item);
        }
        self.new_line(depth);
    }

    fn close(&mut self, bracket: char, empty: bool, depth: usize) {
        if !empty {
            self.new_line(depth);
        }
        self.text.push(bracket);
    }

    fn new_line(&mut self, depth: usize) {
        if let Some(spaces) = self.indent {
            self.text.push('\n');
            self.text.extend(std::iter::repeat_n(' ', spaces * depth));
        }
    }
}
