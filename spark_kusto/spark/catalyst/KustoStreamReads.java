// Micro-batches of the Python data source "kusto" as a map over tasks, as KustoTaskReads does it for batches.
//
// Spark plans a micro-batch as ever (the stream's reader names its tasks), and counts its rows as ever: only
// how tasks are read is another. This file is compiled like KustoTaskReads.java, after it; where it cannot be,
// streams work without it.

import java.util.*;
import org.apache.spark.rdd.RDD;
import org.apache.spark.sql.catalyst.expressions.Attribute;
import org.apache.spark.sql.catalyst.expressions.AttributeReference;
import org.apache.spark.sql.catalyst.expressions.GenericInternalRow;
import org.apache.spark.sql.catalyst.plans.physical.UnknownPartitioning;
import org.apache.spark.sql.connector.read.Scan;
import org.apache.spark.sql.connector.read.streaming.MicroBatchStream;
import org.apache.spark.sql.connector.read.streaming.Offset;
import org.apache.spark.sql.execution.RDDScanExec;
import org.apache.spark.sql.execution.SparkPlan;
import org.apache.spark.sql.execution.datasources.v2.MicroBatchScanExec;
import org.apache.spark.sql.execution.datasources.v2.StreamingDataSourceV2ScanRelation;
import org.apache.spark.sql.types.StructType;

public class KustoStreamReads implements java.util.function.Function {
  private final java.util.function.Function planner;
  private final Set names;

  public KustoStreamReads(java.util.function.Function planner, String[] names) {
    this.planner = planner;
    this.names = new HashSet(Arrays.asList(names));
  }

  // The plan of a micro-batch's scan, for KustoTaskReads; null if it is none of ours.
  public Object apply(Object plan) {
    if (!(plan instanceof StreamingDataSourceV2ScanRelation)) return null;
    StreamingDataSourceV2ScanRelation relation = (StreamingDataSourceV2ScanRelation) plan;
    if (relation.startOffset().isEmpty() || relation.endOffset().isEmpty()) return null;
    if (!(relation.stream() instanceof MicroBatchStream)) return null;
    if (!relation.stream().getClass().getName().contains(".python.")) return null;
    if (!names.contains(relation.relation().table().name().toLowerCase(Locale.ROOT))) return null;
    StructType schema = new StructType();
    for (int i = 0; i < relation.output().size(); i++) {
      Attribute column = (Attribute) relation.output().apply(i);
      schema = schema.add(column.name(), column.dataType(), true);
    }
    return new TaskScan((scala.collection.immutable.Seq) relation.output(), relation.scan(),
        (MicroBatchStream) relation.stream(), (Offset) relation.startOffset().get(),
        (Offset) relation.endOffset().get(), scala.Option.empty(), scala.Option.empty(),
        new Reading(planner, schema));
  }

  // Who knows the function that reads tasks, and the columns it gives.
  public static class Reading {
    final java.util.function.Function planner;
    final StructType schema;

    public Reading(java.util.function.Function planner, StructType schema) {
      this.planner = planner;
      this.schema = schema;
    }

    // The function, and the places of columns that are never null in such tasks.
    List function(byte[] task) throws java.io.IOException {
      Map asked = new LinkedHashMap();
      asked.put("function", schema.json());
      asked.put("task", Base64.getEncoder().encodeToString(task));
      return (List) planner.apply(new com.fasterxml.jackson.databind.ObjectMapper().writeValueAsString(asked));
    }
  }

  // Spark's scan of a micro-batch, with another source of its rows. It stays on the driver.
  public static class TaskScan extends MicroBatchScanExec {
    private final transient Reading reading;
    private transient RDD rows;

    public TaskScan(scala.collection.immutable.Seq output, Scan scan, MicroBatchStream stream, Offset start, Offset end,
        scala.Option keyGroupedPartitioning, scala.Option ordering, Reading reading) {
      super(output, scan, stream, start, end, keyGroupedPartitioning, ordering);
      this.reading = reading;
    }

    // Columns with those at some places known never to be null: Spark then need not look, for each value, in Arrow's
    // vectors. Only the projection below this scan knows it: what is in the data must not change a plan's schema,
    // which the state of a stream, and functions of the user, are compared with.
    private static scala.collection.immutable.Seq neverNull(scala.collection.immutable.Seq output, List places) {
      List columns = new ArrayList();
      for (int i = 0; i < output.size(); i++) columns.add(output.apply(i));
      for (int i = 0; i < places.size(); i++) {
        int place = ((Number) places.get(i)).intValue();
        columns.set(place, ((AttributeReference) columns.get(place)).withNullability(false));
      }
      return KustoTaskReads.seq(columns);
    }

    public scala.collection.immutable.Seq otherCopyArgs() { return KustoTaskReads.seq(Collections.singletonList(reading)); }

    public synchronized RDD inputRDD() {
      if (rows == null) rows = read();
      return rows;
    }

    private RDD read() {
      // What is wrong with the batch shows here, and only once: its reader ends.
      scala.collection.immutable.Seq partitions = inputPartitions();
      List tasks = new ArrayList();
      List answer = null;
      try {
        for (int i = 0; i < partitions.size(); i++) {
          Object partition = partitions.apply(i);
          byte[] task = (byte[]) partition.getClass().getMethod("pickedPartition", new Class[0])
              .invoke(partition, new Object[0]);
          tasks.add(new GenericInternalRow(new Object[] {task}));
          if (i == 0) answer = reading.function(task);
        }
      } catch (Exception e) {
        org.slf4j.LoggerFactory.getLogger("spark_kusto").warn("a kusto micro-batch is left to Spark to read", e);
        answer = null;
      }
      // An empty batch, or a Spark of another make.
      if (answer == null) return super.inputRDD();
      List input = KustoTaskReads.taskColumn();
      RDD given = new org.apache.spark.api.java.JavaSparkContext(org.apache.spark.SparkContext.getOrCreate())
          .parallelize(tasks, tasks.size()).rdd();
      SparkPlan named = new RDDScanExec(KustoTaskReads.seq(input), given, "kusto tasks",
          new UnknownPartitioning(tasks.size()), KustoTaskReads.seq(new ArrayList()), scala.Option.empty());
      return KustoTaskReads.mapped((org.apache.spark.api.python.PythonFunction) answer.get(0), reading.schema, input,
          named, neverNull(output(), (List) answer.get(1))).execute();
    }
  }
}
