{
  # One static library per instruction set, because gyp has no flags per file: targets/<isa>_<family>.cc. Nothing outside
  # them may use more than the floor of the platform (SSE2, NEON). tools/native/check-isa-leaks.mjs looks at the result.
  'target_defaults': {
    'include_dirs': ['native'],
    'variables': {'isa_flags%': []},
    'cflags': ['-O3', '-fvisibility=hidden', '-fno-math-errno', '-ffp-contract=off', '-Wall', '-Wextra', '>@(isa_flags)'],
    'cflags_cc': ['-std=c++20', '-fno-exceptions', '-fno-rtti'],
    'cflags_cc!': ['-std=gnu++17'],
    'conditions': [
      # GCC's tree-pre pass spills accumulators of wide tiles.
      ["OS=='linux'", {'cflags': ['-fno-tree-pre', '-fno-tree-coalesce-vars']}],
    ],
    'xcode_settings': {
      'CLANG_CXX_LANGUAGE_STANDARD': 'c++20',
      'GCC_SYMBOLS_PRIVATE_EXTERN': 'YES',
      'OTHER_CFLAGS': ['-O3', '-ffp-contract=off', '>@(isa_flags)'],
    },
    'msbuild_toolset': 'ClangCL',
    'msvs_settings': {'VCCLCompilerTool': {'AdditionalOptions': ['/std:c++20', '>@(isa_flags)']}},
  },
  'targets': [
    {
      'target_name': 'tensor',
      # The headers alone: depending on node-addon-api's own gyp target would litter packages/node_modules.
      'include_dirs': ["<!(node -p \"require('node-addon-api').include_dir\")"],
      'defines': ['NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS', 'NODE_ADDON_API_ENABLE_MAYBE',
                  # A worker that is terminated takes no exceptions: that is no reason to end the process.
                  'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS'],
      'sources': ["<!@(node native/sources.mjs baseline)"],
      'conditions': [
        ["target_arch=='x64'", {
          'dependencies': ['isa_avx2', 'isa_avx_vnni', 'isa_avx512f', 'isa_avx512_vnni', 'isa_avx512_bf16', 'isa_avx512_fp16',
                           'isa_amx'],
        }],
        ["target_arch=='arm64'", {'dependencies': ['isa_neon', 'isa_neon_dotprod', 'isa_neon_i8mm']}],
        # The pool's threads outlive a worker_thread that was the only one to load the addon.
        ["OS=='linux'", {'ldflags': ['-Wl,-z,nodelete']}],
      ],
    },
  ],
  'conditions': [
    ["target_arch=='x64'", {
      'targets': [
        {
          'target_name': 'isa_avx2',
          'type': 'static_library',
          'sources': ["<!@(node native/sources.mjs avx2)"],
          'variables': {'isa_flags': ["<!@(node native/sources.mjs flags avx2)"]},
        },
        {
          'target_name': 'isa_avx_vnni',
          'type': 'static_library',
          'sources': ["<!@(node native/sources.mjs avx_vnni)"],
          'variables': {'isa_flags': ["<!@(node native/sources.mjs flags avx_vnni)"]},
        },
        {
          'target_name': 'isa_avx512f',
          'type': 'static_library',
          'sources': ["<!@(node native/sources.mjs avx512f)"],
          'variables': {'isa_flags': ["<!@(node native/sources.mjs flags avx512f)"]},
        },
        {
          'target_name': 'isa_avx512_vnni',
          'type': 'static_library',
          'sources': ["<!@(node native/sources.mjs avx512_vnni)"],
          'variables': {'isa_flags': ["<!@(node native/sources.mjs flags avx512_vnni)"]},
        },
        {
          'target_name': 'isa_avx512_bf16',
          'type': 'static_library',
          'sources': ["<!@(node native/sources.mjs avx512_bf16)"],
          'variables': {'isa_flags': ["<!@(node native/sources.mjs flags avx512_bf16)"]},
        },
        {
          'target_name': 'isa_avx512_fp16',
          'type': 'static_library',
          'sources': ["<!@(node native/sources.mjs avx512_fp16)"],
          'variables': {'isa_flags': ["<!@(node native/sources.mjs flags avx512_fp16)"]},
        },
        {
          'target_name': 'isa_amx',
          'type': 'static_library',
          'sources': ["<!@(node native/sources.mjs amx)"],
          'variables': {'isa_flags': ["<!@(node native/sources.mjs flags amx)"]},
        },
      ],
    }],
    ["target_arch=='arm64'", {
      'targets': [
        {
          'target_name': 'isa_neon',
          'type': 'static_library',
          'sources': ["<!@(node native/sources.mjs neon)"],
        },
        {
          'target_name': 'isa_neon_dotprod',
          'type': 'static_library',
          'sources': ["<!@(node native/sources.mjs neon_dotprod)"],
          'variables': {'isa_flags': ["<!@(node native/sources.mjs flags neon_dotprod)"]},
        },
        {
          'target_name': 'isa_neon_i8mm',
          'type': 'static_library',
          'sources': ["<!@(node native/sources.mjs neon_i8mm)"],
          'variables': {'isa_flags': ["<!@(node native/sources.mjs flags neon_i8mm)"]},
        },
      ],
    }],
  ],
}
