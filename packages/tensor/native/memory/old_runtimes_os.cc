// Stand-ins for three things that the headers of GCC 12 and glibc 2.36 refer to and older runtime libraries do not
// have. Hidden, so that only this binary uses them, and it loads from glibc 2.28 and libstdc++ 3.4.25 on (Debian 10,
// RHEL 8).
#include <cstdlib>
#include <memory>

#if defined(__GLIBC__) && defined(__GLIBCXX__)

// shared_ptr asks whether atomic counting can be left out. It cannot: there are always threads.
extern "C" __attribute__((visibility("hidden"))) char __libc_single_threaded;
char __libc_single_threaded = 0;

namespace std {

// A vector of more bytes than there are addresses. Sizes are checked long before.
__attribute__((visibility("hidden"))) void __throw_bad_array_new_length() { abort(); }

// Whether two tags of different libraries are the same, where there is no type information: ours never leaves this one.
__attribute__((visibility("hidden"))) bool _Sp_make_shared_tag::_S_eq(const type_info&) noexcept { return false; }

}  // namespace std

#endif
