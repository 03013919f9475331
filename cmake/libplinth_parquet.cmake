# libplinth-parquet.so: the Parquet format by itself, from base/, column/ and parquet/. Only what
# include/plinth_parquet.h declares is visible.
include(GNUInstallDirs)

file(WRITE ${PROJECT_BINARY_DIR}/libplinth_parquet.c "/* The library is made of the rooms' static libraries. */\n")
add_library(libplinth_parquet SHARED ${PROJECT_BINARY_DIR}/libplinth_parquet.c)
target_link_options(libplinth_parquet PRIVATE
  LINKER:--whole-archive,$<TARGET_FILE:plinth_parquet>,$<TARGET_FILE:plinth_base>,--no-whole-archive)
target_link_libraries(libplinth_parquet PRIVATE plinth_parquet plinth_base)
set_target_properties(libplinth_parquet PROPERTIES
  OUTPUT_NAME plinth-parquet PREFIX lib VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
  LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib
  PUBLIC_HEADER "${PROJECT_SOURCE_DIR}/include/plinth_parquet.h;${PROJECT_SOURCE_DIR}/include/plinth_status.h;${PROJECT_SOURCE_DIR}/include/plinth_arrow.h")
target_include_directories(libplinth_parquet INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

configure_file(cmake/plinth-parquet.pc.in ${PROJECT_BINARY_DIR}/plinth-parquet.pc @ONLY)
install(TARGETS libplinth_parquet)
install(FILES ${PROJECT_BINARY_DIR}/plinth-parquet.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
