# Tradelane.cmake: one target per folder; a folder can include only what its target links.
#
# Sources include by the path from the top of the tree ("bus/base/err.h"). No target has the top
# itself on its include path: each library exports a folder of its own that holds one link, to its
# sources, so an include against the layers does not compile.

# tl_exports(<target> <folder>): let whoever links <target> include "<folder>/….h".
function(tl_exports target folder)
  set(root ${CMAKE_BINARY_DIR}/include/${target})
  get_filename_component(parent ${root}/${folder} DIRECTORY)
  file(MAKE_DIRECTORY ${parent})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${folder} ${root}/${folder} SYMBOLIC)
  get_target_property(kind ${target} TYPE)
  if(kind STREQUAL INTERFACE_LIBRARY)
    target_include_directories(${target} INTERFACE ${root})
  else()
    target_include_directories(${target} PUBLIC ${root})
  endif()
endfunction()

# Two warnings are off: that a text may be cut by snprintf is what the sizes are for, and gcc cannot see
# that a failure never leaves an out parameter unset (bus_fail is in another file).
function(tl_flags target)
  target_compile_features(${target} PRIVATE c_std_11)
  # TL_DEBUG: assertions that walk what they look at; those that only look are in every build.
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE $<$<CONFIG:Debug>:TL_DEBUG>)
  # Nothing of ours is put in front of another definition: calls within a source may be inlined though it can
  # become part of a shared object.
  target_compile_options(${target} PRIVATE -fno-semantic-interposition -Wall -Wextra -Werror -Wshadow -Wpointer-arith
                         -Wstrict-prototypes -Wmissing-prototypes -Wvla -fno-common
                         $<$<C_COMPILER_ID:GNU>:-Wno-format-truncation>
                         $<$<C_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
endfunction()

# tl_library(<target> DIR <folder> LINK <targets…> [PRIVATE <targets…>]): every source of the folder
# (not of folders below it) but *_main.c, as one static library. LINK is seen by whoever links it.
function(tl_library target)
  cmake_parse_arguments(A "" "DIR" "LINK;PRIVATE" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${A_DIR}/*.c)
  list(FILTER sources EXCLUDE REGEX "_main\\.c$")
  if(NOT sources)
    message(FATAL_ERROR "${target}: no sources in ${A_DIR}")
  endif()
  add_library(${target} STATIC ${sources})
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  tl_flags(${target})
  tl_exports(${target} ${A_DIR})
  target_link_libraries(${target} PUBLIC ${A_LINK} PRIVATE ${A_PRIVATE})
endfunction()

add_custom_target(programs) # what a user runs: no tests, no benches

# tl_program(<name> SOURCES <files…> LINK <targets…> [HELPER]): a program in <build>/bin; one that nobody
# types (HELPER) in <build>/libexec.
function(tl_program name)
  cmake_parse_arguments(A "HELPER" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  tl_flags(${name})
  target_link_libraries(${name} PRIVATE ${A_LINK})
  set(place bin)
  if(A_HELPER)
    set(place libexec)
  endif()
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/${place})
  file(RELATIVE_PATH folder ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  if(NOT folder MATCHES "^test")
    add_dependencies(programs ${name})
  endif()
endfunction()

# tl_test(<name> DIR <folder> LINK <targets…>): every *_test.c of the folder as one Criterion program
# in <build>/test, registered in <build>/test/programs for the runner. Helper sources of the folder
# that are not *_test.c are linked in too; bench and fuzz folders are not tests.
function(tl_test name)
  cmake_parse_arguments(A "" "DIR" "LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${A_DIR}/*.c)
  if(NOT sources OR NOT TL_TESTS)
    return()
  endif()
  add_executable(${name} ${sources})
  tl_flags(${name})
  target_compile_options(${name} PRIVATE -Wno-missing-prototypes)
  target_link_libraries(${name} PRIVATE ${A_LINK} tl_test_support)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/test)
  set_property(GLOBAL APPEND PROPERTY TL_TEST_PROGRAMS ${name})
endfunction()

# tl_fuzz(<name> SOURCES <files…> LINK <targets…>): a libFuzzer program, built by the fuzz preset.
function(tl_fuzz name)
  cmake_parse_arguments(A "" "" "SOURCES;LINK" ${ARGN})
  if(NOT TL_FUZZ)
    return()
  endif()
  add_executable(${name} ${A_SOURCES})
  tl_flags(${name})
  target_compile_options(${name} PRIVATE -Wno-missing-prototypes)
  target_link_libraries(${name} PRIVATE ${A_LINK})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
endfunction()

add_custom_target(generated) # every source that is made by a tool: enough to look at the code, not to run it

# tl_proto(<target> ROOT <proto root> FILES <relative .proto files…>): protobuf-c messages, and the
# FileDescriptorSet of all of them as a byte array <target>_descriptors / <target>_descriptors_len.
function(tl_proto target)
  cmake_parse_arguments(A "" "ROOT" "FILES" ${ARGN})
  find_program(PROTOC_C protoc-c REQUIRED)
  find_program(PROTOC protoc REQUIRED)
  set(out ${CMAKE_BINARY_DIR}/proto/${target})
  file(MAKE_DIRECTORY ${out})
  set(generated)
  set(inputs)
  foreach(file ${A_FILES})
    string(REGEX REPLACE "\\.proto$" "" base ${file})
    list(APPEND generated ${out}/${base}.pb-c.c)
    list(APPEND inputs ${A_ROOT}/${file})
    get_filename_component(folder ${out}/${base} DIRECTORY)
    file(MAKE_DIRECTORY ${folder})
    add_custom_command(OUTPUT ${out}/${base}.pb-c.c ${out}/${base}.pb-c.h
                       COMMAND ${PROTOC_C} -I${A_ROOT} --c_out=${out} ${A_ROOT}/${file}
                       DEPENDS ${A_ROOT}/${file})
  endforeach()
  add_custom_command(OUTPUT ${out}/${target}_descriptors.c
                     COMMAND ${PROTOC} -I${A_ROOT} --include_imports
                             --descriptor_set_out=${out}/${target}.fds ${inputs}
                     COMMAND ${CMAKE_COMMAND} -DIN=${out}/${target}.fds
                             -DOUT=${out}/${target}_descriptors.c -DNAME=${target}_descriptors
                             -P ${CMAKE_SOURCE_DIR}/scripts/cmake/Embed.cmake
                     DEPENDS ${inputs})
  add_library(${target} STATIC ${generated} ${out}/${target}_descriptors.c)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_include_directories(${target} SYSTEM PUBLIC ${out})
  target_link_libraries(${target} PUBLIC PkgConfig::PROTOBUFC)
  add_dependencies(generated ${target})
endfunction()
