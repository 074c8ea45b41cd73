//! What the underlay sends.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| weft_pipelines::testing::entry::fabric_to_vm(script));
