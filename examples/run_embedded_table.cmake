# cmake -D PROGRAM=file -D DIRECTORY=folder -P run_embedded_table.cmake: the example twice, on a new directory and on the
# one it left; both must say the same, and what is expected.
set(expected "wrote 5 rows, durable in the log
where station = 'Oslo':
  Oslo, day 1: 4.25
  Oslo, day 2: 3.50
  Oslo, day 3: not measured
where celsius < 0 OR celsius IS NULL:
  Oslo, day 3: not measured
  Tromso, day 1: -6.00
  Tromso, day 2: -7.50
deleted one
where station = 'Oslo':
  Oslo, day 1: 4.25
  Oslo, day 3: not measured
flushed: the Parquet files are in ${DIRECTORY}
")
file(REMOVE_RECURSE ${DIRECTORY})
foreach(round first second)
  execute_process(COMMAND ${PROGRAM} ${DIRECTORY} OUTPUT_VARIABLE output ERROR_VARIABLE errors RESULT_VARIABLE code)
  if(NOT code EQUAL 0 OR NOT output STREQUAL expected)
    message(FATAL_ERROR "the ${round} run ended with ${code}:\n${output}${errors}")
  endif()
endforeach()
