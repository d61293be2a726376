import type { Licence } from '../generated/types';

// Name, version, licence; a part of what a release lists.
const text = `
adler2 2.0.1 0BSD OR MIT OR Apache-2.0
alloc-no-stdlib 3.0.0 BSD-3-Clause
anstyle 1.0.14 MIT OR Apache-2.0
arboard 3.7.0 MIT OR Apache-2.0
arrow-buffer 60.1.0 Apache-2.0
arrow-data 60.1.0 Apache-2.0
arrow-row 60.1.0 Apache-2.0
async-broadcast 0.7.2 MIT OR Apache-2.0
async-lock 3.5.0 Apache-2.0 OR MIT
async-task 4.7.1 Apache-2.0 OR MIT
atoi 3.1.1 MIT
base64 0.23.1 MIT OR Apache-2.0
bitflags 2.13.2 MIT OR Apache-2.0
blocking 1.7.0 Apache-2.0 OR MIT
bumpalo 3.20.3 MIT OR Apache-2.0
bytes 1.12.1 MIT
candle-core 0.11.1 MIT OR Apache-2.0
cargo_metadata 0.19.2 MIT
cc 1.11.1 MIT OR Apache-2.0
cfg_aliases 0.2.2 MIT
cipher 0.5.2 MIT OR Apache-2.0
clap_lex 1.1.1 MIT OR Apache-2.0
concurrent-queue 2.5.0 Apache-2.0 OR MIT
const-random-macro 0.1.16 MIT OR Apache-2.0
cpufeatures 0.2.17 MIT OR Apache-2.0
crossbeam-deque 0.8.8 MIT OR Apache-2.0
crypto-common 0.1.7 MIT OR Apache-2.0
csv 1.4.0 Unlicense/MIT
daachorse 3.0.3 MIT OR Apache-2.0
darling_core 0.24.1 MIT
dbus 0.9.12 Apache-2.0/MIT
derive_builder_macro 0.20.2 MIT OR Apache-2.0
digest 0.11.3 MIT OR Apache-2.0
displaydoc 0.2.7 MIT OR Apache-2.0
downcast-rs 1.2.1 MIT/Apache-2.0
dunce 1.0.5 CC0-1.0 OR MIT-0 OR Apache-2.0
either 1.19.0 MIT OR Apache-2.0
endi 1.1.1 MIT
erased-serde 0.4.11 MIT OR Apache-2.0
event-listener-strategy 0.5.4 Apache-2.0 OR MIT
fancy-regex 0.19.2 MIT
find-msvc-tools 0.1.15 MIT OR Apache-2.0
float8 0.7.0 MIT
form_urlencoded 1.2.2 MIT OR Apache-2.0
futures-io 0.3.34 MIT OR Apache-2.0
futures-task 0.3.34 MIT OR Apache-2.0
gdk-pixbuf-sys 0.18.0 MIT
gdkx11-sys 0.18.2 MIT
gemm-common 0.19.0 MIT
generic-array 0.14.7 MIT
getrandom 0.4.3 MIT OR Apache-2.0
glib-macros 0.18.5 MIT
gtk 0.18.2 MIT
hashbrown 0.12.3 MIT OR Apache-2.0
hashlink 0.12.2 MIT OR Apache-2.0
hkdf 0.13.0 MIT OR Apache-2.0
hybrid-array 0.4.15 MIT OR Apache-2.0
icu_locale_core 2.4.0 Unicode-3.0
icu_properties_data 2.4.0 Unicode-3.0
idna_adapter 1.2.2 Apache-2.0 OR MIT
infer 0.22.0 MIT
is-wsl 0.4.0 MIT
javascriptcore-rs 1.1.2 MIT
jiff-core 0.1.8 Unlicense OR MIT
jsonptr 0.7.1 MIT OR Apache-2.0
keyring-core 1.0.1 MIT OR Apache-2.0
lexical-parse-integer 1.0.6 MIT/Apache-2.0
libappindicator 0.9.0 Apache-2.0 OR MIT
libloading 0.7.4 ISC
linux-raw-sys 0.12.1 Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT
lz4_flex 0.14.0 MIT
matchers 0.2.0 MIT
mimalloc 0.1.52 MIT
minimal-lexical 0.2.1 MIT/Apache-2.0
monostate 0.1.18 MIT OR Apache-2.0
new_debug_unreachable 1.0.6 MIT
notify-rust 4.18.2 MIT OR Apache-2.0
num-complex 0.4.6 MIT OR Apache-2.0
num-rational 0.4.2 MIT OR Apache-2.0
open 5.4.5 MIT
pango 0.18.3 MIT
parking_lot_core 0.9.12 MIT OR Apache-2.0
percent-encoding 2.3.2 MIT OR Apache-2.0
phf_generator 0.13.1 MIT
piper 0.2.5 MIT OR Apache-2.0
polling 3.11.0 Apache-2.0 OR MIT
ppv-lite86 0.2.21 MIT OR Apache-2.0
proc-macro-crate 3.5.0 MIT OR Apache-2.0
proptest 1.12.0 MIT OR Apache-2.0
quick-xml 0.42.0 MIT
rand_chacha 0.9.0 MIT OR Apache-2.0
rand_xorshift 0.5.0 MIT OR Apache-2.0
rayon-cond 0.4.0 Apache-2.0/MIT
ref-cast-impl 1.0.27 MIT OR Apache-2.0
rfd 0.17.2 MIT
rustix 1.1.6 Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT
same-file 1.0.6 Unlicense/MIT
schemars_derive 0.8.22 MIT
semver 1.0.28 MIT OR Apache-2.0
serde_core 1.0.229 MIT OR Apache-2.0
serde_plain 1.0.2 MIT/Apache-2.0
serde_with 3.25.0 MIT OR Apache-2.0
serialize-to-javascript-impl 0.1.2 MIT OR Apache-2.0
sharded-slab 0.1.7 MIT
simdutf8 0.1.5 MIT OR Apache-2.0
smallvec 1.16.5 MIT OR Apache-2.0
soup3-sys 0.5.0 MIT
static_vcruntime 3.0.0 MIT OR Apache-2.0 OR Zlib
strsim 0.11.1 MIT
synstructure 0.14.0 MIT
`;

export const licences: Licence[] = text.trim().split('\n').map((line) => {
  const [name, version, ...licence] = line.split(' ');
  return { name, version, licence: licence.join(' ') };
});
