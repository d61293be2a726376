//! The window's types are those of the command list: `types.ts` is generated from it, and this test
//! compares it with what lies in the tree. `make generated` writes it anew.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::any::TypeId;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::path::Path;

use attune_studio::api::*;
use attune_studio::{Error, for_each_command};
use ts_rs::{Config, TS, TypeVisitor};

const HEAD: &str = "// Generated from `studio::api` by `make generated`. Not written by hand.\n";

/// Gathers the declarations of a type and of all it is made of.
struct Declarations {
    config: Config,
    seen: HashSet<TypeId>,
    found: BTreeMap<String, String>,
}

impl Declarations {
    fn add<T: TS + 'static + ?Sized>(&mut self) {
        self.visit::<T>();
    }
}

impl TypeVisitor for Declarations {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        if !self.seen.insert(TypeId::of::<T>()) {
            return;
        }
        if T::output_path().is_some() {
            let docs = T::docs().unwrap_or_default();
            let declaration = format!("{docs}export {}\n", T::decl(&self.config));
            self.found.insert(T::ident(&self.config), declaration);
        }
        T::visit_dependencies(self);
        T::visit_generics(self);
    }
}

macro_rules! commands {
    ($($(#[doc = $help:literal])+ $name:ident $variant:ident($request:ty) -> $reply:ty = $($function:ident)::+;)+) => {
        fn generated() -> String {
            let mut all = Declarations {
                config: Config::new().with_large_int("number"),
                seen: HashSet::new(),
                found: BTreeMap::new(),
            };
            all.add::<Error>();
            all.add::<Event>();
            $(all.add::<$request>(); all.add::<$reply>();)+
            let mut text = HEAD.to_owned();
            for declaration in all.found.values() {
                write!(text, "\n{declaration}").unwrap();
            }
            text += "\n/** Every command: what it takes and what it returns. */\nexport interface Commands {\n";
            $(
                let help = concat!($($help),+).trim();
                let (request, reply) = (<$request>::name(&all.config), <$reply>::name(&all.config));
                let name = stringify!($name);
                writeln!(text, "  /** {help} */\n  {name}: {{ request: Partial<{request}>; reply: {reply} }};").unwrap();
            )+
            text += "}\n\n/** The names of all commands, in the order of the list. */\nexport const COMMANDS = [\n";
            $(writeln!(text, "  '{}',", stringify!($name)).unwrap();)+
            text + "] as const;\n"
        }
    };
}

for_each_command!(commands);

#[test]
fn generated_types() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../ui/src/backend/generated/types.ts");
    let generated = generated();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &generated).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == generated,
        "{} is not what the command list says; run `make generated`",
        path.display()
    );
}
