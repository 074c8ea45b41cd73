//! What guests send to anyone.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| weft_pipelines::testing::entry::vm_to_vm(script));
