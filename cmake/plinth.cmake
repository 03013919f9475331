# Compile flags for all of Plinth's own code, and one function for each kind of target.

add_library(plinth_options INTERFACE)
target_include_directories(plinth_options INTERFACE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
target_compile_definitions(plinth_options INTERFACE _GNU_SOURCE PLINTH_VERSION="${PROJECT_VERSION}")
target_compile_options(plinth_options INTERFACE
  -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith -Wwrite-strings
  -Wno-missing-field-initializers -fno-strict-aliasing -fno-omit-frame-pointer)
target_compile_options(plinth_options INTERFACE $<$<CONFIG:RelWithDebInfo>:-O2>)
if(PLINTH_ASAN)
  target_compile_options(plinth_options INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all)
  target_link_options(plinth_options INTERFACE -fsanitize=address,undefined)
endif()
if(PLINTH_TSAN)
  # gcc's TSan does not model atomic_thread_fence; the code uses acquire/release on the variables themselves.
  target_compile_options(plinth_options INTERFACE -fsanitize=thread -Wno-error=tsan)
  target_link_options(plinth_options INTERFACE -fsanitize=thread)
endif()
if(PLINTH_FUZZ)
  target_compile_options(plinth_options INTERFACE -fsanitize=fuzzer-no-link)
  # libFuzzer's own name; checksums let a fuzzer's changes pass where they would stop all of them.
  target_compile_definitions(plinth_options INTERFACE FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION)
  target_link_options(plinth_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# plinth_room(NAME SOURCES ... DEPENDS ... [SYSTEM ...])
# One static library for one folder of src/. DEPENDS are rooms or imported targets.
function(plinth_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(plinth_${name} STATIC ${ROOM_SOURCES})
  target_link_libraries(plinth_${name} PUBLIC plinth_options ${ROOM_DEPENDS})
endfunction()

# plinth_test(NAME SOURCES ... DEPENDS ... [TIMEOUT seconds] [LABELS ...] [ONE_THREAD])
# One cmocka program, registered with ctest under its own name; exit code 77 means skipped. ONE_THREAD: there is nothing
# in it that ThreadSanitizer could find, or only what other tests do, too (label one_thread).
function(plinth_test name)
  cmake_parse_arguments(TEST "ONE_THREAD" "TIMEOUT" "SOURCES;DEPENDS;LABELS" ${ARGN})
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 120)
  endif()
  if(CMAKE_CROSSCOMPILING OR PLINTH_ASAN OR PLINTH_TSAN) # slow; it is there to end what hangs
    math(EXPR TEST_TIMEOUT "${TEST_TIMEOUT} * 4")
  endif()
  if(TEST_ONE_THREAD)
    list(APPEND TEST_LABELS one_thread)
  endif()
  add_executable(${name} ${TEST_SOURCES})
  target_link_libraries(${name} PRIVATE ${TEST_DEPENDS} plinth_test_support PkgConfig::CMOCKA)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${TEST_TIMEOUT} LABELS "${TEST_LABELS}" SKIP_RETURN_CODE 77)
endfunction()

# plinth_fuzzer(NAME SOURCES ... DEPENDS ...)
# One libFuzzer target; built only with the fuzz preset, into <build>/fuzzers, by the target `fuzzers`. Its seeds are the
# folder corpus/ beside the CMakeLists.txt that names it; scripts/test.sh finds both in <build>/fuzzers.txt.
function(plinth_fuzzer name)
  cmake_parse_arguments(FUZZ "" "" "SOURCES;DEPENDS" ${ARGN})
  if(NOT PLINTH_FUZZ)
    return()
  endif()
  add_executable(${name} ${FUZZ_SOURCES})
  target_link_libraries(${name} PRIVATE ${FUZZ_DEPENDS})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzzers)
  if(NOT TARGET fuzzers)
    add_custom_target(fuzzers)
    file(WRITE ${PROJECT_BINARY_DIR}/fuzzers.txt "")
  endif()
  add_dependencies(fuzzers ${name})
  file(APPEND ${PROJECT_BINARY_DIR}/fuzzers.txt "${name} ${CMAKE_CURRENT_SOURCE_DIR}/corpus\n")
endfunction()
